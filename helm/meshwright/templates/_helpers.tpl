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

{{/* What the operator's role, its binding and its peering are called, in a namespace or cluster-wide. */}}
{{- define "meshwright.operatorName" -}}
{{- $place := dict "root" . "name" "operator" -}}
{{- empty .Values.operator.namespaces | ternary (include "meshwright.clusterName" $place) (include "meshwright.fullname" $place) -}}
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

{{/* What every pod has to be, by the restricted Pod Security Standard. */}}
{{- define "meshwright.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "meshwright.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "meshwright.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
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

{{/* The variables of a component: addresses of the mesh, who it is, and its own, which win. */}}
{{- define "meshwright.env" -}}
{{- $root := .root -}}{{- $c := .c -}}
{{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_IP" "status.podIP" "NODE_NAME" "spec.nodeName" "NODE_IP" "status.hostIP" }}
- {name: {{ $name }}, valueFrom: {fieldRef: {fieldPath: {{ $path }}}}}
{{- end }}
{{- $env := dict }}
{{- if not (tpl ($c.image | default "") $root) }}
{{- $env = dict "CONSUL_HTTP_ADDR" (include "meshwright.consul" $root) "OTEL_EXPORTER_OTLP_ENDPOINT" (include "meshwright.otlp" $root) "MESHWRIGHT_LOG_FORMAT" "json" }}
{{- end }}
{{- if $c.mesh }}
{{- $env = mustMerge (dict "MESHWRIGHT_HOST" "0.0.0.0" "MESHWRIGHT_ADVERTISE" "$(POD_IP)" "MESHWRIGHT_INSTANCE" "$(POD_NAME)" "MESHWRIGHT_PORT" "20000" "MESHWRIGHT_METRICS_PORT" "20001" "MESHWRIGHT_XDS" (printf "%s:18000" (include "meshwright.fullname" (dict "root" $root "name" "controlplane")))) $env }}
{{- $env = mustMerge (dict "MESHWRIGHT_AUTH_ISSUER" $root.Values.demo.publicUrl "MESHWRIGHT_AUTH_JWKS" (printf "http://%s:8080/.well-known/jwks.json" (include "meshwright.fullname" (dict "root" $root "name" "gateway")))) $env }}
{{- end }}
{{- if $c.nats }}
{{- $env = mustMerge (dict "NATS_URL" (include "meshwright.nats" $root) "NATS_STREAM_REPLICAS" $root.Values.nats.replicas) $env }}
{{- end }}
{{- $own := and $c.database (hasKey ($c.env | default dict) $c.database) }}
{{- if and $c.database (not $own) (eq $root.Values.database.mode "sqlite") }}
{{- $_ := set $env $c.database "sqlite:////data/demo.db" }}
{{- else if and $c.database (not $own) }}
{{- $_ := set $env "DEMO_DATABASE_PER_SERVICE" "true" }}
{{- end }}
{{- range $name, $value := mustMerge (deepCopy ($c.env | default dict)) $env }}
- {name: {{ $name }}, value: {{ tpl (toString $value) $root | quote }}}
{{- end }}
{{- $secrets := deepCopy ($c.secrets | default dict) }}
{{- if and $c.database (not $own) (ne $root.Values.database.mode "sqlite") }}{{- $_ := set $secrets $c.database "url" }}{{- end }}
{{- range $name, $place := $secrets }}
{{- $secret := contains "/" $place | ternary (dir $place) "database" }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ include "meshwright.fullname" (dict "root" $root "name" $secret) }}, key: {{ base $place }}}}}
{{- end }}
{{- end -}}

{{/* A component with `config: true` has a file, by this name; its checksum is in the pod. */}}
{{- define "meshwright.config.prometheus" -}}
global: {scrape_interval: 5s}
scrape_configs:
  - job_name: controlplane
    dns_sd_configs:
      - {names: [{{ include "meshwright.fullname" (dict "root" . "name" "controlplane") }}-headless], type: A, port: 18001, refresh_interval: 5s}
  {{- if .Values.operator.enabled }}
  - job_name: operator
    dns_sd_configs:
      - {names: [{{ include "meshwright.fullname" (dict "root" . "name" "operator") }}-headless], type: A, port: 18002, refresh_interval: 5s}
  {{- end }}
  # Every instance says in Consul where its metrics are.
  - job_name: services
    consul_sd_configs:
      - server: {{ .Values.consul.external | default (printf "%s:8500" (include "meshwright.fullname" (dict "root" . "name" "consul"))) }}
    relabel_configs:
      - {source_labels: [__meta_consul_service_metadata_metrics_port], regex: .+, action: keep}
      - source_labels: [__meta_consul_service_address, __meta_consul_service_metadata_metrics_port]
        separator: ":"
        target_label: __address__
      - {source_labels: [__meta_consul_service_id], target_label: instance}
{{- end -}}
