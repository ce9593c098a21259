{{/*
All processes, as a YAML list of {component, name, worker?, own, args, startup?, beside?, state?, claimed?}: its
component, the end of its objects' names, a worker's name, its values over `pods`, the command's arguments, the
startup probe's path and seconds, the processes in the same pod, and its state volume, unless that is claimed
per pod. Templates add `root`.
*/}}

{{- define "countermand.processes" -}}
{{- $started := dict "path" "/healthz/live" "seconds" 120 -}}
{{- $own := dict -}}
{{- range list "router" "joiner" "readModel" "api" "inngest" "topics" -}}
  {{- $_ := set $own . (mergeOverwrite (deepCopy $.Values.pods) (deepCopy (get $.Values .))) -}}
{{- end -}}
{{- $sqlite := not .Values.database.existingSecret -}}
{{- $processes := list -}}
{{- if .Values.router.enabled -}}
  {{- $processes = append $processes (dict "component" "router" "name" "router" "own" $own.router
    "args" (list "router") "startup" $started) -}}
{{- end -}}
{{- if .Values.joiner.enabled -}}
  {{- /* A joiner has started once its rows are restored: until then nobody asks whether it is live. */ -}}
  {{- $processes = append $processes (dict "component" "joiner" "name" "joiner" "own" $own.joiner
    "args" (list "joiner") "startup" (dict "path" "/healthz/ready" "seconds" .Values.joiner.restoreSeconds)
    "claimed" .Values.joiner.persistence.enabled) -}}
{{- end -}}
{{- $readModel := dict "component" "read-model" "name" "read-model" "own" $own.readModel
  "args" (list "read-model" "run") "startup" $started -}}
{{- if and .Values.readModel.enabled (not $sqlite) -}}
  {{- $processes = append $processes $readModel -}}
{{- end -}}
{{- if .Values.api.enabled -}}
  {{- $api := dict "component" "api" "name" "api" "own" $own.api "args" (list "api") "startup" $started -}}
  {{- if $sqlite -}}
    {{- /* API and read model share the file, so they share a pod; of two pods each would have a file of its own. */ -}}
    {{- $_ := set $api "strategy" (dict "type" "Recreate") -}}
    {{- if .Values.readModel.enabled -}}{{- $_ := set $api "beside" (list $readModel) -}}{{- end -}}
    {{- if .Values.database.sqlite.persistence -}}
      {{- $claim := printf "%s-api" (include "countermand.fullname" .) -}}
      {{- $_ := set $api "state" (dict "persistentVolumeClaim" (dict "claimName" $claim)) -}}
    {{- end -}}
  {{- end -}}
  {{- $processes = append $processes $api -}}
{{- end -}}
{{- if .Values.inngest.enabled -}}
  {{- $processes = append $processes (dict "component" "inngest" "name" "inngest" "own" $own.inngest
    "args" (list "inngest") "startup" $started) -}}
{{- end -}}
{{- range $name, $worker := .Values.workers -}}
  {{- $processes = append $processes (dict "component" "worker" "name" (printf "worker-%s" $name) "worker" $name
    "own" (mergeOverwrite (deepCopy $.Values.pods) (dict "replicas" 1) (deepCopy $worker))
    "args" (list "worker" $worker.app) "startup" $started) -}}
{{- end -}}
{{- if include "countermand.topicsHook" . -}}
  {{- $args := list "topics" "create" -}}
  {{- if .Values.topics.mend -}}{{- $args = append $args "--mend" -}}{{- end -}}
  {{- $processes = append $processes (dict "component" "topics" "name" "topics" "own" $own.topics "args" $args) -}}
{{- end -}}
{{ toYaml $processes }}
{{- end -}}

{{/* Whether a process opens the PostgreSQL database. */}}
{{- define "countermand.opensDatabase" -}}
{{- if and .root.Values.database.existingSecret (has .component (list "api" "read-model" "inngest")) }}yes{{ end -}}
{{- end -}}

{{/* Whether the hook makes the topics. */}}
{{- define "countermand.topicsHook" -}}
{{- if and .Values.topics.enabled (not .Values.strimzi.topics.enabled) }}yes{{ end -}}
{{- end -}}
