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
