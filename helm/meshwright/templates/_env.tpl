{{/* The variables of a component: addresses of the mesh, who it is, and its own, which win. */}}
{{- define "meshwright.env" -}}
{{- $root := .root -}}{{- $c := .c -}}
{{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_IP" "status.podIP" "NODE_NAME" "spec.nodeName" "NODE_IP" "status.hostIP" }}
- {name: {{ $name }}, valueFrom: {fieldRef: {fieldPath: {{ $path }}}}}
{{- end }}
{{- $env := dict }}
{{- if not (include "meshwright.thirdParty" .) }}
{{- $env = dict "CONSUL_HTTP_ADDR" (include "meshwright.consul" $root) "OTEL_EXPORTER_OTLP_ENDPOINT" (include "meshwright.otlp" $root) "MESHWRIGHT_LOG_FORMAT" "json" }}
{{- end }}
{{- if $c.mesh }}
{{- $env = mustMerge (dict "MESHWRIGHT_HOST" "0.0.0.0" "MESHWRIGHT_ADVERTISE" "$(POD_IP)" "MESHWRIGHT_INSTANCE" "$(POD_NAME)" "MESHWRIGHT_PORT" "20000" "MESHWRIGHT_METRICS_PORT" "20001" "MESHWRIGHT_XDS" (printf "%s:18000" (include "meshwright.fullname" (dict "root" $root "name" "controlplane")))) $env }}
{{- $env = mustMerge (dict "MESHWRIGHT_CARRIED_HEADERS" (join "," $root.Values.carriedHeaders | default "-")) $env }}
{{- $env = mustMerge (dict "MESHWRIGHT_AUTH_ISSUER" $root.Values.demo.publicUrl "MESHWRIGHT_AUTH_JWKS" (printf "http://%s:8080/.well-known/jwks.json" (include "meshwright.fullname" (dict "root" $root "name" "gateway")))) $env }}
{{- end }}
{{- if $c.nats }}
{{- $env = mustMerge (dict "NATS_URL" (include "meshwright.nats" $root) "NATS_STREAM_REPLICAS" (max 1 (int $root.Values.nats.replicas))) $env }}
{{- end }}
{{- $own := and $c.database (hasKey ($c.env | default dict) $c.database) }}
{{- if and $c.database (not $own) (eq $root.Values.database.mode "sqlite") }}
{{- $_ := set $env $c.database "sqlite:////data/demo.db" }}
{{- else if and $c.database (not $own) }}
{{- $_ := set $env "DEMO_DATABASE_PER_SERVICE" "true" }}
{{- if not (include "meshwright.databaseUrlIsSecret" $root) }}{{ $_ := set $env $c.database (include "meshwright.databaseUrl" $root) }}{{ end }}
{{- end }}
{{- if include "meshwright.readsConsul" . }}
{{- $env = mustMerge (include "meshwright.consulVariables" $root | fromJson) $env }}
{{- end }}
{{- $secrets := include "meshwright.secretVariables" . | fromJson }}
{{- $extra := dict }}
{{- range include "meshwright.setting" (dict "root" $root "c" $c "key" "extraEnv" "by" "name") | fromYamlArray }}{{- $_ := set $extra .name . }}{{- end }}
{{- range $name, $value := mustMerge (deepCopy ($c.env | default dict)) $env }}
{{- if not (or (hasKey $secrets $name) (hasKey $extra $name) (kindIs "invalid" $value)) }}
- {name: {{ $name }}, value: {{ include "meshwright.text" (dict "root" $root "value" $value) | quote }}}
{{- end }}
{{- end }}
{{- range $name, $place := $secrets }}
{{- if not (hasKey $extra $name) }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ first $place }}, key: {{ last $place }}}}}
{{- end }}
{{- end }}
{{- with values $extra }}
{{ include "meshwright.setting" (dict "root" $root "c" $c "key" "extraEnv" "by" "name") }}
{{- end }}
{{- end -}}
