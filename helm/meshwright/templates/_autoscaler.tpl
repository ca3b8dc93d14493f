{{/*
How many pods a component has, as JSON. Takes root, name, c and kind. `least`: how many there are at any time, 0 where something
else decides; `written`: whether the workload has `spec.replicas`; `scaler`: whether an HPA does.
*/}}
{{- define "meshwright.replicas" -}}
{{- $least := 0 -}}{{- $written := false -}}
{{- $scale := include "meshwright.setting" (dict "root" .root "c" .c "key" "autoscaling") | fromYaml -}}
{{- $place := printf "components.%s.autoscaling" .name -}}
{{- $alone := and .c.database (eq .root.Values.database.mode "sqlite") -}}
{{- if $scale.enabled -}}
{{- if ne .kind "Deployment" }}{{ fail (printf "%s: a %s keeps state, and no HPA scales it; set replicas" $place .kind) }}{{ end -}}
{{- if eq .name "operator" }}{{ fail (printf "%s: of several operators one works; set operator.replicas" $place) }}{{ end -}}
{{- if $alone }}{{ fail (printf "%s: with database.mode=sqlite each pod has a file of its own, so there is one; choose another mode" $place) }}{{ end -}}
{{- if gt (int $scale.minReplicas) (int $scale.maxReplicas) }}{{ fail (printf "%s: minReplicas, %v, is more than maxReplicas, %v" $place $scale.minReplicas $scale.maxReplicas) }}{{ end -}}
{{- $least = int $scale.minReplicas -}}
{{- else if and (ne .kind "DaemonSet") (not (kindIs "invalid" .c.replicas)) -}}
{{- $written = true -}}
{{- $least = include "meshwright.text" (dict "root" .root "value" .c.replicas) | int -}}
{{- if $alone }}{{ $least = min 1 $least }}{{ end -}}
{{- end -}}
{{ toJson (dict "least" $least "written" $written "scaler" ($scale.enabled | default false)) }}
{{- end -}}

{{/* The HorizontalPodAutoscaler of a component. */}}
{{- define "meshwright.autoscaler" -}}
{{- $scale := include "meshwright.setting" (dict "root" .root "c" .c "key" "autoscaling") | fromYaml -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .full }}
  labels: {{- .labels | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: {{ .kind }}, name: {{ .full }}}
  minReplicas: {{ int $scale.minReplicas }}
  maxReplicas: {{ int $scale.maxReplicas }}
  metrics:
    {{- range $resource, $target := dict "cpu" $scale.targetCPU "memory" $scale.targetMemory }}
    {{- with $target }}
    - {type: Resource, resource: {name: {{ $resource }}, target: {type: Utilization, averageUtilization: {{ int . }}}}}
    {{- end }}
    {{- end }}
    {{- with $scale.metrics }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $scale.behavior }}
  behavior: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
