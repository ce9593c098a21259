{{/* Names and labels. What they take is the root context, or a process: see _pod.tpl. */}}

{{- define "countermand.fullname" -}}
{{ default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end -}}

{{- define "countermand.name" -}}
{{ include "countermand.fullname" .root }}-{{ .name }}
{{- end -}}

{{/* What selects the pods of a process; it never changes. */}}
{{- define "countermand.selector" -}}
app.kubernetes.io/name: countermand
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .worker }}
countermand-worker: {{ . }}
{{- end }}
{{- end -}}

{{- define "countermand.labels" -}}
{{ include "countermand.selector" . }}
app.kubernetes.io/part-of: countermand
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{/* Metadata of an object of a process. */}}
{{- define "countermand.metadata" -}}
name: {{ include "countermand.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "countermand.labels" . | nindent 2 }}
{{- end -}}
