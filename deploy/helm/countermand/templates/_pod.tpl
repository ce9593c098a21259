{{/* Pods. What a process is: see _processes.tpl. */}}

{{- define "countermand.image" -}}
{{- $image := mergeOverwrite (deepCopy .root.Values.image) (default dict .own.image) -}}
{{ $image.repository }}:{{ default .root.Chart.AppVersion $image.tag }}
{{- end -}}

{{- define "countermand.container" -}}
{{- $port := ternary "http" "probes" (eq .component "api") -}}
- name: {{ .component }}
  image: {{ include "countermand.image" . | quote }}
  imagePullPolicy: {{ (mergeOverwrite (deepCopy .root.Values.image) (default dict .own.image)).pullPolicy }}
  args: {{ toJson .args }}
  env:
    {{- include "countermand.env" . | trim | nindent 4 }}
  {{- if .startup }}
  ports:
    - {name: {{ $port }}, containerPort: {{ ternary 8420 6066 (eq .component "api") }}}
    {{- if eq .component "inngest" }}
    - {name: http, containerPort: 8288}
    {{- end }}
  startupProbe:
    httpGet: {path: {{ .startup.path }}, port: {{ $port }}}
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: {{ div .startup.seconds 2 }}
  readinessProbe:
    httpGet: {path: /healthz/ready, port: {{ $port }}}
    periodSeconds: 2
    timeoutSeconds: 5
    failureThreshold: 3
  livenessProbe:
    httpGet: {path: /healthz/live, port: {{ $port }}}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  {{- if has .component (list "api" "inngest") }}
  # Services hear a moment after the pod that it ends: until then calls still come.
  lifecycle: {preStop: {exec: {command: [python3, -c, "import time; time.sleep(5)"]}}}
  {{- end }}
  {{- end }}
  {{- with .own.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .own.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: state, mountPath: /var/lib/countermand}
    {{- if include "countermand.kafkaVolume" . }}
    - {name: kafka, mountPath: /etc/countermand/kafka, readOnly: true}
    {{- end }}
    {{- if include "countermand.opensDatabase" . }}
    - {name: database, mountPath: /etc/countermand/database, readOnly: true}
    {{- end }}
    {{- if eq .component "inngest" }}
    - {name: inngest, mountPath: /etc/countermand/inngest, readOnly: true}
    {{- end }}
    {{- with .own.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The projected volume with what proves who a process is to Kafka; empty if nothing does. */}}
{{- define "countermand.kafkaVolume" -}}
{{- $tls := .root.Values.kafka.tls -}}
{{- $secrets := include "countermand.kafkaSecrets" . | fromYaml -}}
{{- with $secrets.ca }}
- secret: {name: {{ . }}, items: [{key: {{ $tls.caKey }}, path: ca.crt}]}
{{- end }}
{{- with $secrets.certificate }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $tls.certificateKey }}, path: client.crt}
      - {key: {{ $tls.keyKey }}, path: client.key}
      {{- with $tls.keyPasswordKey }}
      - {key: {{ . }}, path: client-key-password}
      {{- end }}
{{- end }}
{{- with $secrets.password }}
- secret: {name: {{ . }}, items: [{key: {{ $.root.Values.kafka.sasl.passwordKey }}, path: password}]}
{{- end }}
{{- with $secrets.clientSecret }}
- secret: {name: {{ . }}, items: [{key: {{ $.root.Values.kafka.oauth.clientSecretKey }}, path: client-secret}]}
{{- end }}
{{- end -}}

{{/* The template of a process's pods. */}}
{{- define "countermand.podTemplate" -}}
metadata:
  labels:
    {{- include "countermand.labels" . | nindent 4 }}
    {{- with .own.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .own.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "countermand.podSpec" . | trim | nindent 2 }}
{{- end -}}

{{- define "countermand.podSpec" -}}
{{- if eq .component "topics" }}
restartPolicy: Never
{{- else }}
serviceAccountName: {{ include "countermand.serviceAccount" . }}
{{- end }}
automountServiceAccountToken: false
# Else Kubernetes would add variables such as COUNTERMAND_API_PORT, which mean something else here.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ .own.terminationGracePeriodSeconds }}
{{- with .own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .own.topologyKeys (ne .component "topics") }}
topologySpreadConstraints:
  {{- range .own.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "countermand.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
containers:
  {{- include "countermand.container" . | nindent 2 }}
  {{- range .beside }}
  {{- include "countermand.container" (merge (dict "root" $.root) .) | nindent 2 }}
  {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  {{- if not .claimed }}
  - name: state
    {{- toYaml (default (dict "emptyDir" dict) .state) | nindent 4 }}
  {{- end }}
  {{- with include "countermand.kafkaVolume" . }}
  - name: kafka
    projected:
      defaultMode: 0440
      sources:
        {{- . | trim | nindent 8 }}
  {{- end }}
  {{- if include "countermand.opensDatabase" . }}
  - name: database
    secret:
      secretName: {{ .root.Values.database.existingSecret }}
      defaultMode: 0440
      items: [{key: {{ .root.Values.database.urlKey }}, path: url}]
  {{- end }}
  {{- if eq .component "inngest" }}
  - name: inngest
    secret:
      secretName: {{ .own.signingKey.existingSecret }}
      defaultMode: 0440
      items:
        - {key: {{ .own.signingKey.key }}, path: signing-key}
        {{- with .own.signingKey.fallbackKey }}
        - {key: {{ . }}, path: signing-key-fallback}
        {{- end }}
  {{- end }}
  {{- with .own.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "countermand.serviceAccount" -}}
{{- $account := .own.serviceAccount -}}
{{- if $account.create }}{{ default (include "countermand.name" .) $account.name }}{{ else }}{{ default "default" $account.name }}{{ end -}}
{{- end -}}
