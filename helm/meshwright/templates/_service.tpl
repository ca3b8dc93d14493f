{{/* The Service of a component, or with `bare` the headless one that lists its pods. */}}
{{- define "meshwright.service" -}}
{{- $c := .c -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .full }}{{ if .bare }}-headless{{ end }}
  labels: {{- .labels | nindent 4 }}
spec:
  {{- if .bare }}
  clusterIP: None
  publishNotReadyAddresses: true
  {{- else if $c.sticky }}
  sessionAffinity: ClientIP
  {{- end }}
  selector: {{- .selector | nindent 4 }}
  ports:
    {{- range $port, $number := $c.ports }}
    - {name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}}
    {{- end }}
{{- end -}}
