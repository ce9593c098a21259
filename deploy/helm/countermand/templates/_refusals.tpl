{{/* What can't work and a schema can't tell. The message says what to do. */}}

{{- define "countermand.refusals" -}}
{{- $partitions := int .Values.topics.partitions -}}
{{- $joiner := .Values.joiner -}}
{{- if gt (int $joiner.replicas) $partitions -}}
  {{- fail (printf "joiner.replicas is %d, but only one joiner works per partition, and topics.partitions is %d: use fewer joiners. The partition count is fixed for life." (int $joiner.replicas) $partitions) -}}
{{- end -}}
{{- range $name := list "router" "joiner" -}}
  {{- $own := mergeOverwrite (deepCopy $.Values.pods) (deepCopy (get $.Values $name)) -}}
  {{- include "countermand.refuseScaling" (list (printf "%s.autoscaling" $name) $own.autoscaling $partitions) -}}
{{- end -}}
{{- range $name, $worker := .Values.workers -}}
  {{- $own := mergeOverwrite (deepCopy $.Values.pods) (deepCopy $worker) -}}
  {{- if gt (int $own.replicas) $partitions -}}
    {{- fail (printf "workers.%s.replicas is %d, but only one worker works per partition, and topics.partitions is %d: use fewer." $name (int $own.replicas) $partitions) -}}
  {{- end -}}
  {{- include "countermand.refuseScaling" (list (printf "workers.%s.autoscaling" $name) $own.autoscaling $partitions) -}}
  {{- if and $own.autoscaling.enabled (not $own.appId) -}}
    {{- fail (printf "workers.%s.appId is missing: autoscaling looks at the lag of the group of that app (the `id` of its App)." $name) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.strimzi.users.enabled .Values.topics.enabled (not .Values.strimzi.topics.enabled) -}}
  {{- fail "strimzi.users.enabled needs strimzi.topics.enabled, or topics.enabled=false: the hook that makes topics runs before Strimzi has made its user." -}}
{{- end -}}
{{- if and .Values.strimzi.users.enabled (eq .Values.strimzi.users.authentication "scram-sha-512") (ne .Values.kafka.sasl.mechanism "SCRAM-SHA-512") -}}
  {{- fail "strimzi.users.authentication is scram-sha-512: set kafka.securityProtocol to SASL_SSL or SASL_PLAINTEXT, and kafka.sasl.mechanism to SCRAM-SHA-512." -}}
{{- end -}}
{{- if and .Values.strimzi.users.enabled (eq .Values.strimzi.users.authentication "tls") (ne .Values.kafka.securityProtocol "SSL") -}}
  {{- fail "strimzi.users.authentication is tls: set kafka.securityProtocol to SSL." -}}
{{- end -}}
{{- end -}}

{{- define "countermand.refuseScaling" -}}
{{- $where := index . 0 -}}
{{- $scaling := index . 1 -}}
{{- $partitions := index . 2 -}}
{{- if $scaling.enabled -}}
  {{- if gt (int $scaling.maxReplicas) $partitions -}}
    {{- fail (printf "%s.maxReplicas is %d, but topics.partitions is %d, and more pods than that are of no use: use fewer." $where (int $scaling.maxReplicas) $partitions) -}}
  {{- end -}}
  {{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
    {{- fail (printf "%s.minReplicas is more than its maxReplicas." $where) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
