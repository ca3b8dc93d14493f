{{/* A component with `config: true` has a file, by this name; its checksum is in the pod. */}}
{{- define "meshwright.config.prometheus" -}}
global: {scrape_interval: 5s}
rule_files: [/config/rules.yml]    # other rules restart it: {{ include "meshwright.rules" . | sha256sum | trunc 16 }}
scrape_configs:
  - job_name: controlplane
    honor_labels: true
    dns_sd_configs:
      - {names: [{{ include "meshwright.fullname" (dict "root" . "name" "controlplane") }}-headless], type: A, port: 18001, refresh_interval: 5s}
    relabel_configs:
      - {target_label: mesh, replacement: {{ include "meshwright.mesh" . | quote }}}
      - {target_label: service, replacement: controlplane}
  {{- if .Values.operator.enabled }}
  - job_name: operator
    honor_labels: true
    dns_sd_configs:
      - {names: [{{ include "meshwright.fullname" (dict "root" . "name" "operator") }}-headless], type: A, port: 18002, refresh_interval: 5s}
    relabel_configs:
      - {target_label: mesh, replacement: {{ include "meshwright.mesh" . | quote }}}
      - {target_label: service, replacement: operator}
  {{- end }}
  # Every instance says in Consul where its metrics are.
  - job_name: services
    honor_labels: true
    consul_sd_configs:
      - server: {{ .Values.consul.external | default (printf "%s:8500" (include "meshwright.fullname" (dict "root" . "name" "consul"))) }}
        {{- if .Values.consul.tls.enabled }}
        scheme: https
        {{- end }}
        {{- if .Values.consul.token.existingSecret }}
        authorization: {credentials_file: /etc/meshwright/consul/token}
        {{- end }}
        {{- $tls := dict }}
        {{- if .Values.consul.tls.ca.existingSecret }}{{ $_ := set $tls "ca_file" "/etc/meshwright/consul/ca.crt" }}{{ end }}
        {{- if .Values.consul.tls.client.existingSecret }}{{ $_ := set $tls "cert_file" "/etc/meshwright/consul/tls.crt" }}{{ $_ := set $tls "key_file" "/etc/meshwright/consul/tls.key" }}{{ end }}
        {{- with .Values.consul.tls.serverName }}{{ $_ := set $tls "server_name" . }}{{ end }}
        {{- with $tls }}
        tls_config: {{ toJson . }}
        {{- end }}
    relabel_configs:
      - {source_labels: [__meta_consul_service_metadata_metrics_port], regex: .+, action: keep}
      - source_labels: [__meta_consul_service_address, __meta_consul_service_metadata_metrics_port]
        separator: ":"
        target_label: __address__
      - {source_labels: [__meta_consul_service_id], target_label: instance}
      - {target_label: mesh, replacement: {{ include "meshwright.mesh" . | quote }}}
      - {source_labels: [__meta_consul_service], target_label: service}
      - {source_labels: [__meta_consul_service_metadata_version], target_label: version}
{{- end -}}

{{- define "meshwright.config.coturn" -}}
{{ .Files.Get "coturn/turnserver.conf" }}
{{- end -}}
