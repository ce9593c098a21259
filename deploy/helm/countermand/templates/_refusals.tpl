{{/* What can't work, and a schema can't tell or would tell too tersely. Each message says what to do. */}}

{{- define "countermand.refusals" -}}
{{- if not .Values.kafka.bootstrapServers -}}
  {{- fail "kafka.bootstrapServers is missing: the brokers, such as --set kafka.bootstrapServers=kafka:9092" -}}
{{- end -}}
{{- $partitions := int .Values.topics.partitions -}}
{{- range include "countermand.processes" . | fromYamlArray -}}
  {{- $where := ternary (printf "workers.%s" .worker) .component (eq .component "worker") -}}
  {{- if has .component (list "joiner" "worker" "inngest") -}}
    {{- if gt (int .own.replicas) $partitions -}}
      {{- fail (printf "%s.replicas is %d, but only one works per partition, and topics.partitions is %d: use fewer. The partition count is fixed for life." $where (int .own.replicas) $partitions) -}}
    {{- end -}}
  {{- end -}}
  {{- $scaling := default dict .own.autoscaling -}}
  {{- if $scaling.enabled -}}
    {{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
      {{- fail (printf "%s.autoscaling.minReplicas is more than its maxReplicas" $where) -}}
    {{- end -}}
    {{- if and (ne .component "api") (gt (int $scaling.maxReplicas) $partitions) -}}
      {{- fail (printf "%s.autoscaling.maxReplicas is %d, but only one works per partition, and topics.partitions is %d: use fewer" $where (int $scaling.maxReplicas) $partitions) -}}
    {{- end -}}
    {{- if and (ne .component "api") $.Values.kafka.oauth.callback -}}
      {{- fail (printf "%s.autoscaling needs kafka.oauth.tokenUrl: KEDA can't call kafka.oauth.callback" $where) -}}
    {{- end -}}
    {{- if and (eq .component "worker") (not .own.appId) -}}
      {{- fail (printf "%s.appId is missing: autoscaling looks at the lag of that app's group. It is the id that the code gives to its App" $where) -}}
    {{- end -}}
  {{- end -}}
  {{- if and (has .component (list "worker" "inngest")) (lt (int .own.terminationGracePeriodSeconds) (include "countermand.graceSeconds" (merge (dict "root" $) .) | int)) -}}
    {{- fail (printf "%s.terminationGracePeriodSeconds is %d, but it takes COUNTERMAND_WORKER_GRACE and 20 s to hand its runs over: allow it %s s" $where (int .own.terminationGracePeriodSeconds) (include "countermand.graceSeconds" (merge (dict "root" $) .))) -}}
  {{- end -}}
{{- end -}}
{{- if .Values.inngest.enabled -}}
  {{- if not .Values.database.existingSecret -}}
    {{- fail "inngest.enabled needs database.existingSecret: event keys are in the API's database, and only PostgreSQL can be shared" -}}
  {{- end -}}
  {{- if not .Values.inngest.signingKey.existingSecret -}}
    {{- fail "inngest.signingKey.existingSecret is missing: a Secret with the key that apps have as INNGEST_SIGNING_KEY" -}}
  {{- end -}}
  {{- if not .Values.inngest.origins -}}
    {{- fail "inngest.origins is missing: where apps may be called, such as --set inngest.origins={https://app.example.com}" -}}
  {{- end -}}
  {{- $events := printf "%sevents" .Values.topicPrefix -}}
  {{- if not (has $events (include "countermand.inputs" . | fromYamlArray)) -}}
    {{- fail (printf "inputs lacks {topic: %s}, where apps' events go: name it beside the others, for inngest.enabled" $events) -}}
  {{- end -}}
  {{- if and .Values.inngest.ingress.enabled (not .Values.inngest.ingress.host) -}}
    {{- fail "inngest.ingress.host is missing: the name by which apps find it" -}}
  {{- end -}}
{{- end -}}
{{- $users := .Values.strimzi.users -}}
{{- if $users.enabled -}}
  {{- if include "countermand.topicsHook" . -}}
    {{- fail "strimzi.users.enabled needs strimzi.topics.enabled, or topics.enabled=false: the hook that makes topics runs before Strimzi has made a user for it" -}}
  {{- end -}}
  {{- if and (eq $users.authentication "scram-sha-512") (ne .Values.kafka.sasl.mechanism "SCRAM-SHA-512") -}}
    {{- fail "strimzi.users.authentication is scram-sha-512: set kafka.securityProtocol to SASL_SSL or SASL_PLAINTEXT, and kafka.sasl.mechanism to SCRAM-SHA-512" -}}
  {{- end -}}
  {{- if and (eq $users.authentication "tls") (ne .Values.kafka.securityProtocol "SSL") -}}
    {{- fail "strimzi.users.authentication is tls: set kafka.securityProtocol to SSL" -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* How long a pod that has runs takes to end at most, s. */}}
{{- define "countermand.graceSeconds" -}}
{{- $settings := merge (deepCopy (default dict .own.settings)) .root.Values.settings -}}
{{- $ms := include "countermand.ms" (default "30s" $settings.COUNTERMAND_WORKER_GRACE) | int64 -}}
{{ add (div $ms 1000) 20 }}
{{- end -}}
