{{/* The environment of a process: the chart's own values as settings, then `settings`, then `extraEnv`. */}}

{{- define "countermand.env" -}}
{{- $root := .root -}}
{{- $kafka := $root.Values.kafka -}}
{{- $secrets := include "countermand.kafkaSecrets" . | fromYaml -}}
{{- $mount := "/etc/countermand/kafka" -}}
{{- $env := dict
  "COUNTERMAND_KAFKA_BOOTSTRAP_SERVERS" $kafka.bootstrapServers
  "COUNTERMAND_KAFKA_SECURITY_PROTOCOL" $kafka.securityProtocol
  "COUNTERMAND_TOPIC_PREFIX" $root.Values.topicPrefix
  "COUNTERMAND_APPLICATION_ID" $root.Values.applicationId
  "COUNTERMAND_STATE_DIR" "/var/lib/countermand"
-}}
{{- with $root.Values.inputs }}{{ $_ := set $env "COUNTERMAND_INPUTS" (toJson .) }}{{ end -}}
{{- with $kafka.extra }}{{ $_ := set $env "COUNTERMAND_KAFKA_EXTRA" (toJson .) }}{{ end -}}
{{- if contains "SSL" $kafka.securityProtocol -}}
  {{- $_ := set $env "COUNTERMAND_KAFKA_SSL_CHECK_HOSTNAME" $kafka.tls.checkHostname -}}
  {{- if $secrets.ca }}{{ $_ := set $env "COUNTERMAND_KAFKA_SSL_CA" (printf "%s/ca.crt" $mount) }}{{ end -}}
  {{- if $secrets.certificate -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_SSL_CERTIFICATE" (printf "%s/client.crt" $mount) -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_SSL_KEY" (printf "%s/client.key" $mount) -}}
    {{- if $kafka.tls.keyPasswordKey }}{{ $_ := set $env "COUNTERMAND_KAFKA_SSL_KEY_PASSWORD_FILE" (printf "%s/client-key-password" $mount) }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- if hasPrefix "SASL" $kafka.securityProtocol -}}
  {{- $_ := set $env "COUNTERMAND_KAFKA_SASL_MECHANISM" $kafka.sasl.mechanism -}}
  {{- if ne $kafka.sasl.mechanism "OAUTHBEARER" -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_SASL_USERNAME" $secrets.username -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_SASL_PASSWORD_FILE" (printf "%s/password" $mount) -}}
  {{- else if $kafka.oauth.callback -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_OAUTH_CALLBACK" $kafka.oauth.callback -}}
  {{- else -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_OAUTH_TOKEN_URL" $kafka.oauth.tokenUrl -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_OAUTH_CLIENT_ID" $secrets.username -}}
    {{- $_ := set $env "COUNTERMAND_KAFKA_OAUTH_CLIENT_SECRET_FILE" (printf "%s/client-secret" $mount) -}}
    {{- with $kafka.oauth.scope }}{{ $_ := set $env "COUNTERMAND_KAFKA_OAUTH_SCOPE" . }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- if eq .component "topics" -}}
  {{- $_ := set $env "COUNTERMAND_PARTITIONS" (int $root.Values.topics.partitions) -}}
  {{- with $root.Values.topics.replicationFactor }}{{ $_ := set $env "COUNTERMAND_REPLICATION_FACTOR" (int .) }}{{ end -}}
{{- else if eq .component "api" -}}
  {{- $_ := set $env "COUNTERMAND_API_HOST" "0.0.0.0" -}}
  {{- $_ := set $env "COUNTERMAND_API_PORT" 8420 -}}
  {{- with include "countermand.publicUrl" $root }}{{ $_ := set $env "COUNTERMAND_PUBLIC_URL" . }}{{ end -}}
{{- else -}}
  {{- $_ := set $env "COUNTERMAND_WEB_HOST" "0.0.0.0" -}}
  {{- $_ := set $env "COUNTERMAND_WEB_PORT" 6066 -}}
{{- end -}}
{{- if eq .component "inngest" -}}
  {{- $_ := set $env "COUNTERMAND_INNGEST_HOST" "0.0.0.0" -}}
  {{- $_ := set $env "COUNTERMAND_INNGEST_PORT" 8288 -}}
  {{- $_ := set $env "COUNTERMAND_INNGEST_ORIGINS" (join "," .own.origins) -}}
  {{- with .own.apps }}{{ $_ := set $env "COUNTERMAND_INNGEST_APPS" (join "," .) }}{{ end -}}
  {{- $_ := set $env "COUNTERMAND_INNGEST_SIGNING_KEY_FILE" "/etc/countermand/inngest/signing-key" -}}
  {{- if .own.signingKey.fallbackKey -}}
    {{- $_ := set $env "COUNTERMAND_INNGEST_SIGNING_KEY_FALLBACK_FILE" "/etc/countermand/inngest/signing-key-fallback" -}}
  {{- end -}}
{{- end -}}
{{- if include "countermand.opensDatabase" . -}}
  {{- $_ := set $env "COUNTERMAND_DATABASE_URL_FILE" "/etc/countermand/database/url" -}}
{{- end -}}
{{- if has .component (list "router" "read-model" "worker" "inngest") -}}
  {{- $_ := set $env "COUNTERMAND_SESSION_TIMEOUT" $root.Values.sessionTimeout -}}
{{- end -}}
{{- range $name, $value := $root.Values.settings }}{{ $_ := set $env $name $value }}{{ end -}}
{{- range $name, $value := .own.settings }}{{ $_ := set $env $name $value }}{{ end -}}
{{- range $name, $value := $env }}
{{- /* Helm reads whole numbers as floats, and would write large ones with an exponent. */}}
- {name: {{ $name }}, value: {{ ternary (int64 $value) $value (kindIs "float64" $value) | toString | quote }}}
{{- end }}
{{- if eq .component "joiner" }}
# A joiner's name in its group: its partitions wait for it while its pod is made anew.
- {name: COUNTERMAND_GROUP_INSTANCE_ID, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- end }}
{{- with .own.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Which Kafka user a process is, and which Secrets it mounts. */}}
{{- define "countermand.kafkaSecrets" -}}
{{- $kafka := .root.Values.kafka -}}
{{- $own := default dict .own.kafka -}}
{{- $sasl := hasPrefix "SASL" $kafka.securityProtocol -}}
{{- $oauth := eq $kafka.sasl.mechanism "OAUTHBEARER" -}}
{{- if and .root.Values.strimzi.users.enabled (ne .component "topics") -}}
  {{- $own = dict "username" (include "countermand.name" .) "existingSecret" (include "countermand.name" .) -}}
{{- end -}}
{{- $found := dict -}}
{{- if contains "SSL" $kafka.securityProtocol -}}
  {{- with $kafka.tls.caSecret }}{{ $_ := set $found "ca" . }}{{ end -}}
  {{- $certificate := $kafka.tls.existingSecret -}}
  {{- if not $sasl }}{{ $certificate = default $certificate $own.existingSecret }}{{ end -}}
  {{- with $certificate }}{{ $_ := set $found "certificate" . }}{{ end -}}
{{- end -}}
{{- if and $sasl (not $oauth) -}}
  {{- $_ := set $found "username" (default $kafka.sasl.username $own.username) -}}
  {{- $_ := set $found "password" (default $kafka.sasl.existingSecret $own.existingSecret) -}}
{{- else if and $sasl (not $kafka.oauth.callback) -}}
  {{- $_ := set $found "username" (default $kafka.oauth.clientId $own.username) -}}
  {{- $_ := set $found "clientSecret" (default $kafka.oauth.existingSecret $own.existingSecret) -}}
{{- end -}}
{{ toYaml $found }}
{{- end -}}

{{/* Where browsers find the dashboard. */}}
{{- define "countermand.publicUrl" -}}
{{- $ingress := .Values.api.ingress -}}
{{- if or .Values.api.publicUrl (not $ingress.enabled) }}{{ .Values.api.publicUrl }}
{{- else }}{{ ternary "https" "http" (not (empty $ingress.tlsSecret)) }}://{{ $ingress.host }}
{{- end -}}
{{- end -}}
