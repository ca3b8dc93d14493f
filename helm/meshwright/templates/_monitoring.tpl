{{/* What every series of this release carries as its label `mesh`: rules and dashboards go by it, so that several releases share one Prometheus. */}}
{{- define "meshwright.mesh" -}}
{{ .Release.Namespace }}/{{ .Release.Name }}
{{- end -}}

{{/*
The rules of rules/*.yaml, with `${...}` filled in: `groups`, as both Prometheus and a PrometheusRule have it. Alerts that
`monitoring.rules.disabled` names are left out; so are the operator's and those of events where there is neither.
*/}}
{{- define "meshwright.rules" -}}
{{- $rules := .Values.monitoring.rules -}}
{{- $facts := mustMerge (dict "mesh" (include "meshwright.mesh" .) "runbookUrl" $rules.runbookUrl) (deepCopy $rules.thresholds) -}}
{{- $files := list "slo" "mesh" -}}
{{- if .Values.operator.enabled }}{{ $files = append $files "rollouts" }}{{ end -}}
{{- if .Values.demo.enabled }}{{ $files = append $files "events" }}{{ end -}}
{{- $groups := list -}}
{{- range $file := $files -}}
{{- $text := $.Files.Get (printf "rules/%s.yaml" $file) -}}
{{- range $name, $value := $facts -}}
{{- $text = replace (printf "${%s}" $name) (toString $value) $text -}}
{{- end -}}
{{- range $group := (fromYaml $text).groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- if not (has (dig "alert" "" $rule) $rules.disabled) -}}
{{- if $rule.alert }}{{ $_ := set $rule "labels" (mustMerge (dict) $rules.alertLabels $rule.labels) }}{{ end -}}
{{- $kept = append $kept $rule -}}
{{- end -}}
{{- end -}}
{{- if $kept }}{{ $groups = append $groups (dict "name" $group.name "rules" $kept) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}

{{/* How one endpoint of a monitor is scraped: `port`, and `relabelings` as a YAML list. */}}
{{- define "meshwright.scrape" -}}
{{- $scrape := .root.Values.monitoring.scrape -}}
- port: {{ .port }}
  path: /metrics
  # Calls carry the labels of the service that was called, rollouts those of their own namespace.
  honorLabels: true
  {{- with $scrape.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with $scrape.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  relabelings:
    - {targetLabel: mesh, replacement: {{ include "meshwright.mesh" .root | quote }}}
    {{- .relabelings | nindent 4 }}
    {{- with $scrape.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $scrape.metricRelabelings }}
  metricRelabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The head of a monitor: `kind` and `name`. */}}
{{- define "meshwright.monitorHead" -}}
apiVersion: monitoring.coreos.com/v1
kind: {{ .kind }}
metadata:
  name: {{ include "meshwright.fullname" . }}
  labels:
    {{- include "meshwright.labels" . | nindent 4 }}
    {{- with .extra }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
