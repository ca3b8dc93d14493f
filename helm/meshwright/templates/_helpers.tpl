{{/*
The name of an object of this release: <release>-<name>, of at most 52 characters, which a StatefulSet needs; then a Service's
"-headless" fits its 63 too, and what belongs together has one name. A longer one, and one that is not a DNS label (a release's
name may have dots, and begin with a digit), is made to fit, and carries a hash of the release's name.
*/}}
{{- define "meshwright.fullname" -}}
{{- $release := .root.Values.fullnameOverride | default .root.Release.Name -}}
{{- $label := regexReplaceAll "^([0-9])" (replace "." "-" $release) "r$1" -}}
{{- $limit := int (sub 51 (len .name)) -}}
{{- if or (ne $label $release) (gt (len $label) $limit) -}}
{{- $label = printf "%s-%s" (trunc (int (sub $limit 9)) $label | trimSuffix "-") (sha256sum $release | trunc 8) -}}
{{- end -}}
{{ $label }}-{{ .name }}
{{- end -}}

{{/* The name of a cluster-scoped object: one release name may be used in two namespaces. No namespace has a dot in its name. */}}
{{- define "meshwright.clusterName" -}}
{{ include "meshwright.fullname" . }}.{{ .root.Release.Namespace }}
{{- end -}}

{{/* The namespaces that the operator acts in, as a JSON list; one that is empty stands for the whole cluster. */}}
{{- define "meshwright.operatorScope" -}}
{{- .Values.operator.clusterwide | ternary (list "") (.Values.operator.namespaces | default (list .Release.Namespace)) | toJson -}}
{{- end -}}

{{/* Whether the operator acts in the release's namespace: then it scales what rollouts take their template from. */}}
{{- define "meshwright.operatorScales" -}}
{{- $scope := include "meshwright.operatorScope" . | fromJsonArray -}}
{{- and .Values.operator.enabled (or .Values.operator.clusterwide (has .Release.Namespace $scope)) -}}
{{- end -}}

{{/* For who takes Leases: the Lease of each namespace (it cannot be created by name), and whether that is being deleted. */}}
{{- define "meshwright.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [meshwright-operator]
  verbs: [get, patch, delete]
- apiGroups: [""]
  resources: [namespaces]
  {{- with . }}
  resourceNames: [{{ . }}]
  {{- end }}
  verbs: [get]
{{- end -}}

{{/* What selectors ask for, which must never change. */}}
{{- define "meshwright.selectorLabels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{/* Of pods: without the chart's version, so that a newer chart restarts only pods that it changes. */}}
{{- define "meshwright.podLabels" -}}
{{ include "meshwright.selectorLabels" . }}
app.kubernetes.io/version: {{ include "meshwright.version" . | quote }}
app.kubernetes.io/component: {{ .name }}
app.kubernetes.io/part-of: meshwright
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "meshwright.labels" -}}
{{ include "meshwright.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Of what a component runs: its image's tag; the application's, where an image has none. */}}
{{- define "meshwright.version" -}}
{{- $image := tpl (dig "image" "" (.c | default dict)) .root | default (include "meshwright.image" .root) -}}
{{- $tag := regexFind ":[A-Za-z0-9_][A-Za-z0-9._-]*$" (splitList "@" $image | first) | trimPrefix ":" -}}
{{- regexReplaceAll "[._-]+$" (trunc 63 ($tag | default .root.Chart.AppVersion)) "" | trimPrefix "_" -}}
{{- end -}}

{{- define "meshwright.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ with .tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "meshwright.consul" -}}
{{- if .Values.consul.external -}}{{ .Values.consul.external }}
{{- else if .Values.consul.client -}}$(NODE_IP):8500
{{- else -}}{{ include "meshwright.fullname" (dict "root" . "name" "consul") }}:8500
{{- end -}}
{{- end -}}

{{- define "meshwright.otlp" -}}
{{ .Values.jaeger.external | default (printf "http://%s:4317" (include "meshwright.fullname" (dict "root" . "name" "jaeger"))) }}
{{- end -}}

{{/* The port at which Jaeger says that it is well: of the second generation, of the first, or of our stand-in. */}}
{{- define "meshwright.jaegerHealth" -}}
{{- if .Values.jaeger.standin -}}query
{{- else if contains "/all-in-one:" .Values.jaeger.image -}}admin
{{- else -}}health
{{- end -}}
{{- end -}}

{{- define "meshwright.nats" -}}
{{ .Values.nats.external | default (printf "nats://%s:4222" (include "meshwright.fullname" (dict "root" . "name" "nats"))) }}
{{- end -}}
