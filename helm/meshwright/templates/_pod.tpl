{{/* What a pod of a component is made of. */}}
{{- define "meshwright.pod" -}}
{{- $root := .root -}}
{{- $c := .c -}}
{{- $full := .full -}}
{{- $storage := .storage -}}
serviceAccountName: {{ include "meshwright.serviceAccountName" . }}
automountServiceAccountToken: {{ dig "serviceAccount" "automount" false $c }}
{{ include "meshwright.podSettings" . }}
# Longer than the preStop pause, propagation (0.5 s) and grace (10 s) of a server's end together.
terminationGracePeriodSeconds: {{ include "meshwright.setting" (dict "root" $root "c" $c "key" "terminationGracePeriodSeconds") }}
{{- with get (hasKey $c "topologySpreadConstraints" | ternary $c $root.Values.defaults) "topologySpreadConstraints" }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | indent 4 | trim }}
    {{- if not .labelSelector }}
    labelSelector:
      matchLabels: {{- $.selector | nindent 8 }}
    {{- end }}
  {{- end }}
{{- end }}
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
  {{- with include "meshwright.setting" (dict "root" $root "c" $c "key" "extraVolumes" "by" "name") }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The one container of a component's pod. */}}
{{- define "meshwright.container" -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $c := .c -}}
name: {{ $name }}
image: {{ include "meshwright.componentImage" . | quote }}
imagePullPolicy: {{ $c.imagePullPolicy | default $root.Values.image.pullPolicy }}
{{- with $c.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $args := list }}
{{- range $c.args }}{{- with tpl . $root }}{{- $args = append $args . }}{{- end }}{{- end }}
{{- with $args }}
args: {{- toYaml . | nindent 2 }}
{{- end }}
env: {{- include "meshwright.env" . | nindent 2 }}
{{- with include "meshwright.setting" (dict "root" $root "c" $c "key" "extraEnvFrom") }}
envFrom: {{- . | nindent 2 }}
{{- end }}
ports:
  {{- range $port, $number := $c.ports }}
  - {name: {{ $port }}, containerPort: {{ $number }}{{ with $c.protocol }}, protocol: {{ . }}{{ end }}{{ if has $port ($c.hostPorts | default list) }}, hostPort: {{ $number }}{{ end }}}
  {{- end }}
# Covers a slow start; liveness is asked only afterwards.
{{- $asked := pick ($c.startup | default dict) "exec" "grpc" "httpGet" "tcpSocket" | default (pick $c.liveness "exec" "grpc" "httpGet" "tcpSocket" "timeoutSeconds") }}
startupProbe: {{- tpl (merge (dict) ($c.startup | default dict) $asked (dict "periodSeconds" 2 "failureThreshold" 60) | toYaml) $root | nindent 2 }}
readinessProbe: {{- tpl (merge (dict) $c.readiness (dict "periodSeconds" 5 "timeoutSeconds" 3) | toYaml) $root | nindent 2 }}
livenessProbe: {{- tpl (merge (dict) $c.liveness (dict "periodSeconds" 10 "timeoutSeconds" 3) | toYaml) $root | nindent 2 }}
{{- if not (or (include "meshwright.thirdParty" .) (eq $name "operator")) }}
# Kubernetes' endpoints forget the pod first; the process's own order (deregister, propagate, drain) follows.
lifecycle: {preStop: {exec: {command: [python, -c, "import time; time.sleep(2)"]}}}
{{- end }}
resources: {{- toYaml $c.resources | nindent 2 }}
{{- include "meshwright.containerSettings" . }}
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
  {{- with include "meshwright.setting" (dict "root" $root "c" $c "key" "extraVolumeMounts" "by" "mountPath") }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}
