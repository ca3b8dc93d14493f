{{/* Who reaches the pods of a component. */}}
{{- define "meshwright.networkPolicy" -}}
{{- $root := .root -}}
# Only pods of this release, of namespaces with rollouts, and whom the values allow get in; the gateway is for everybody.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .full }}
  labels: {{- .labels | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- .selector | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    {{- if eq .name "gateway" }}
    - ports: [{port: http}]
    {{- end }}
    - from:
        - podSelector: {matchLabels: {app.kubernetes.io/instance: {{ $root.Release.Name }}}}
        {{- range $root.Values.operator.namespaces }}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
        {{- end }}
        {{- with $root.Values.networkPolicy.allow }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}
