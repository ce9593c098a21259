{{/* How a process is reached: each takes the process and its values of that name. */}}

{{- define "countermand.service" -}}
{{- $process := index . 0 -}}
{{- $service := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "countermand.metadata" $process | nindent 2 }}
  {{- with $service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ $service.type }}
  selector:
    {{- include "countermand.selector" $process | nindent 4 }}
  ports:
    - {name: http, port: {{ $service.port }}, targetPort: http}
{{- end -}}

{{- define "countermand.ingress" -}}
{{- $process := index . 0 -}}
{{- $ingress := index . 1 -}}
{{- if $ingress.enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  {{- include "countermand.metadata" $process | nindent 2 }}
  {{- with $ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with $ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with $ingress.tlsSecret }}
  tls: [{hosts: [{{ $ingress.host | quote }}], secretName: {{ . }}}]
  {{- end }}
  rules:
    - host: {{ $ingress.host | quote }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: {{ include "countermand.name" $process }}, port: {name: http}}}
{{- end }}
{{- end -}}
