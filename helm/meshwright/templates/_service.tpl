{{/* The Service of a component, or with `bare` the headless one that lists its pods. */}}
{{- define "meshwright.service" -}}
{{- $c := .c -}}
{{- $service := $c.service | default dict -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .full }}{{ if .bare }}-headless{{ end }}
  labels: {{- .labels | nindent 4 }}
  {{- with and (not .bare) $service.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if .bare }}
  clusterIP: None
  publishNotReadyAddresses: true
  {{- else }}
  {{- range $key := list "type" "sessionAffinity" "loadBalancerClass" "externalTrafficPolicy" "internalTrafficPolicy" }}
  {{- with get $service $key }}
  {{ $key }}: {{ . }}
  {{- end }}
  {{- end }}
  {{- with $service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  selector: {{- .selector | nindent 4 }}
  ports:
    {{- $protocols := dict "http" "http" "grpc" "kubernetes.io/h2c" "xds" "kubernetes.io/h2c" }}
    {{- range $port, $number := $c.ports }}
    - name: {{ $port }}
      port: {{ $number }}
      targetPort: {{ $port }}
      {{- with $c.protocol }}
      protocol: {{ . }}
      {{- end }}
      {{- with get $protocols $port }}
      appProtocol: {{ . }}
      {{- end }}
      {{- with and (not $.bare) (get ($service.nodePorts | default dict) $port) }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
{{- end -}}
