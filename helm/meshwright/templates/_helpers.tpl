{{- define "meshwright.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
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
{{- else -}}{{ .Release.Name }}-consul:8500
{{- end -}}
{{- end -}}

{{- define "meshwright.otlp" -}}
{{ .Values.jaeger.external | default (printf "http://%s-jaeger:4317" .Release.Name) }}
{{- end -}}

{{/* The port at which Jaeger says that it is well: of the second generation, of the first, or of our stand-in. */}}
{{- define "meshwright.jaegerHealth" -}}
{{- if .Values.jaeger.standin -}}query
{{- else if contains "/all-in-one:" .Values.jaeger.image -}}admin
{{- else -}}health
{{- end -}}
{{- end -}}

{{- define "meshwright.nats" -}}
{{ .Values.nats.external | default (printf "nats://%s-nats:4222" .Release.Name) }}
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
{{- $env = mustMerge (dict "MESHWRIGHT_HOST" "0.0.0.0" "MESHWRIGHT_ADVERTISE" "$(POD_IP)" "MESHWRIGHT_INSTANCE" "$(POD_NAME)" "MESHWRIGHT_PORT" "20000" "MESHWRIGHT_METRICS_PORT" "20001" "MESHWRIGHT_XDS" (printf "%s-controlplane:18000" $root.Release.Name)) $env }}
{{- $env = mustMerge (dict "MESHWRIGHT_AUTH_ISSUER" $root.Values.demo.publicUrl "MESHWRIGHT_AUTH_JWKS" (printf "http://%s-gateway:8080/.well-known/jwks.json" $root.Release.Name)) $env }}
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
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $root.Release.Name }}-{{ $secret }}, key: {{ base $place }}}}}
{{- end }}
{{- end -}}

{{/* A component with `config: true` has a file, by this name; its checksum is in the pod. */}}
{{- define "meshwright.config.prometheus" -}}
global: {scrape_interval: 5s}
scrape_configs:
  - job_name: controlplane
    dns_sd_configs:
      - {names: [{{ .Release.Name }}-controlplane-headless], type: A, port: 18001, refresh_interval: 5s}
  {{- if .Values.operator.enabled }}
  - job_name: operator
    dns_sd_configs:
      - {names: [{{ .Release.Name }}-operator-headless], type: A, port: 18002, refresh_interval: 5s}
  {{- end }}
  # Every instance says in Consul where its metrics are.
  - job_name: services
    consul_sd_configs:
      - server: {{ .Values.consul.external | default (printf "%s-consul:8500" .Release.Name) }}
    relabel_configs:
      - {source_labels: [__meta_consul_service_metadata_metrics_port], regex: .+, action: keep}
      - source_labels: [__meta_consul_service_address, __meta_consul_service_metadata_metrics_port]
        separator: ":"
        target_label: __address__
      - {source_labels: [__meta_consul_service_id], target_label: instance}
{{- end -}}
