{{/* The Deployment, StatefulSet or DaemonSet of a component. */}}
{{- define "meshwright.workload" -}}
{{- $root := .root -}}
{{- $c := .c -}}
apiVersion: apps/v1
kind: {{ .kind }}
metadata:
  name: {{ .full }}
  labels: {{- .labels | nindent 4 }}
  {{- if .scaled }}
  annotations:
    # In the place of spec.replicas, which is the operator's: none while a rollout has taken over.
    meshwright.dev/replicas: {{ .replicas | quote }}
  {{- end }}
spec:
  {{- if and (kindIs "int" .replicas) (not .scaled) }}
  replicas: {{ .replicas }}
  {{- end }}
  {{- if eq .kind "StatefulSet" }}
  serviceName: {{ .full }}-headless
  podManagementPolicy: Parallel
  {{- if gt (default 1 .replicas) 1 }}
  # A server that comes back without its state votes after 10 s; before that the next one must not go.
  minReadySeconds: 15
  {{- end }}
  {{- else if eq .kind "Deployment" }}
  strategy: {{ eq (include "meshwright.text" (dict "root" $root "value" ($c.recreate | default false))) "true" | ternary "{type: Recreate}" "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}" }}
  {{- end }}
  selector:
    matchLabels: {{- .selector | nindent 6 }}
  template:
    metadata:
      labels: {{- include "meshwright.allPodLabels" . | nindent 8 }}
      {{- $reads := list }}
      {{- if $c.config }}{{- $reads = append $reads (include (printf "meshwright.config.%s" .name) $root) }}{{- end }}
      {{- with include "meshwright.secretsChecksum" . }}{{- $reads = append $reads . }}{{- end }}
      {{- $base := dict }}
      {{- with $reads }}{{- /* A changed configuration or secret restarts who reads it. */}}{{ $base = dict "checksum/config" (toJson . | sha256sum) }}{{ end }}
      {{- with include "meshwright.setting" (dict "root" $root "c" $c "key" "podAnnotations" "base" $base) }}
      annotations: {{- . | nindent 8 }}
      {{- end }}
    spec: {{- include "meshwright.pod" . | nindent 6 }}
  {{- if .storage }}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: {{ $root.Values.persistence.whenDeleted }}, whenScaled: Retain}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .storageClass }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources: {requests: {storage: {{ .storage }}}}
  {{- end }}
{{- end -}}
