{{/* What a pod of a component is made of. */}}
{{- define "meshwright.pod" -}}
{{- $root := .root -}}
{{- $c := .c -}}
{{- $full := .full -}}
{{- $storage := .storage -}}
serviceAccountName: {{ $c.serviceAccount | default false | ternary $full (include "meshwright.fullname" (dict "root" $root "name" "plain")) }}
automountServiceAccountToken: {{ $c.serviceAccount | default false }}
# A Service called meshwright-controlplane would otherwise set MESHWRIGHT_CONTROLPLANE_PORT=tcp://...
enableServiceLinks: false
# Longer than the preStop pause, propagation (0.5 s) and grace (10 s) of a server's end together.
terminationGracePeriodSeconds: 30
securityContext: {{- include "meshwright.podSecurity" ($c.uid | default 10001) | nindent 2 }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- .selector | nindent 8 }}
containers:
  - {{ include "meshwright.container" . | indent 4 | trim }}
volumes:
  - {name: tmp, emptyDir: {}}
  {{- if not $storage }}
  - {name: data, emptyDir: {}}
  {{- end }}
  {{- range $i, $path := $c.scratch }}
  - {name: scratch-{{ $i }}, emptyDir: {}}
  {{- end }}
  {{- if $c.config }}
  - {name: config, configMap: {name: {{ $full }}}}
  {{- end }}
  {{- with include "meshwright.consulFiles" . }}
  - name: consul
    projected:
      sources: {{- . | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* The one container of a component's pod. */}}
{{- define "meshwright.container" -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $c := .c -}}
name: {{ $name }}
image: {{ tpl ($c.image | default "") $root | default (include "meshwright.image" $root) | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
{{- with $c.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $args := list }}
{{- range $c.args }}{{- with tpl . $root }}{{- $args = append $args . }}{{- end }}{{- end }}
{{- with $args }}
args: {{- toYaml . | nindent 2 }}
{{- end }}
env: {{- include "meshwright.env" . | nindent 2 }}
ports:
  {{- range $port, $number := $c.ports }}
  - {name: {{ $port }}, containerPort: {{ $number }}{{ if has $port ($c.hostPorts | default list) }}, hostPort: {{ $number }}{{ end }}}
  {{- end }}
# Covers a slow start; liveness is asked only afterwards.
startupProbe: {{- tpl (mustMerge (dict "periodSeconds" 2 "failureThreshold" 60) $c.liveness | toYaml) $root | nindent 2 }}
readinessProbe: {{- tpl (mustMerge (dict "periodSeconds" 5 "timeoutSeconds" 3) $c.readiness | toYaml) $root | nindent 2 }}
livenessProbe: {{- tpl (mustMerge (dict "periodSeconds" 10 "timeoutSeconds" 3) $c.liveness | toYaml) $root | nindent 2 }}
{{- if and (not (tpl ($c.image | default "") $root)) (ne $name "operator") }}
# Kubernetes' endpoints forget the pod first; the process's own order (deregister, propagate, drain) follows.
lifecycle: {preStop: {exec: {command: [python, -c, "import time; time.sleep(2)"]}}}
{{- end }}
resources: {{- toYaml $c.resources | nindent 2 }}
securityContext: {{- include "meshwright.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: data, mountPath: /data}
  {{- range $i, $path := $c.scratch }}
  - {name: scratch-{{ $i }}, mountPath: {{ $path }}}
  {{- end }}
  {{- if $c.config }}
  - {name: config, mountPath: /config, readOnly: true}
  {{- end }}
  {{- if include "meshwright.consulFiles" . }}
  - {name: consul, mountPath: /etc/meshwright/consul, readOnly: true}
  {{- end }}
{{- end -}}
