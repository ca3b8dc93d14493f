{{/*
Who talks to whom, as JSON: [{from, to, ports, udp}]. `from`: names of components, or `members`, services of the mesh that are not
this chart's; `to`: one component; `ports`: names of its ports. Network policies come from here and nowhere else, for both ends;
what is outside of the release (an external Consul, DNS, the API server) is in _networkpolicy.tpl.
*/}}
{{- define "meshwright.connections" -}}
{{- $root := . -}}
{{- $here := dict -}}
{{- $mesh := list -}}{{- $database := list -}}{{- $nats := list -}}{{- $ours := list -}}
{{- range $name, $c := .Values.components -}}
{{- if eq (include "meshwright.text" (dict "root" $root "value" (dig "enabled" true $c))) "true" -}}
{{- $_ := set $here $name $c -}}
{{- if $c.mesh }}{{ $mesh = append $mesh $name }}{{ end -}}
{{- if $c.database }}{{ $database = append $database $name }}{{ end -}}
{{- if $c.nats }}{{ $nats = append $nats $name }}{{ end -}}
{{- if and (not (include "meshwright.thirdParty" (dict "root" $root "c" $c))) (not (has $name (list "jaeger" "nats"))) }}{{ $ours = append $ours $name }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $agents := list "consul" "consul-client" -}}
{{- $rows := list -}}
{{- /* The mesh: routes, registration, traces, keys of tokens. */ -}}
{{- $rows = append $rows (dict "from" (append $mesh "members") "to" "controlplane" "ports" (list "xds")) -}}
{{- range $agents -}}
{{- $rows = append $rows (dict "from" (concat $ours (list "prometheus" "test" "members")) "to" . "ports" (list "http")) -}}
{{- end -}}
{{- $rows = append $rows (dict "from" (append $ours "members") "to" "jaeger" "ports" (list "otlp" "otlphttp")) -}}
{{- $rows = append $rows (dict "from" (concat $mesh (list "test" "members")) "to" "gateway" "ports" (list "http")) -}}
{{- /* Calls between services, and Consul's checks of each. */ -}}
{{- $calls := dict "user" (list "calculator") "order" (list "inventory" "payment") "gateway" (without $mesh "gateway") -}}
{{- range $target := $mesh -}}
{{- $callers := concat $agents (list "members") -}}
{{- range $caller, $targets := $calls }}{{ if has $target $targets }}{{ $callers = append $callers $caller }}{{ end }}{{ end -}}
{{- $rows = append $rows (dict "from" $callers "to" $target "ports" (list (eq $target "gateway" | ternary "admin" "grpc"))) -}}
{{- $rows = append $rows (dict "from" (list "operator" "prometheus" "test") "to" $target "ports" (list "metrics")) -}}
{{- end -}}
{{- /* What services keep. */ -}}
{{- $rows = append $rows (dict "from" $database "to" "postgresql" "ports" (list "sql")) -}}
{{- $rows = append $rows (dict "from" $nats "to" "nats" "ports" (list "nats")) -}}
{{- $rows = append $rows (dict "from" (list "nats") "to" "nats" "ports" (list "cluster")) -}}
{{- /* Servers and clients of Consul, by gossip and by their own calls. */ -}}
{{- range $agents -}}
{{- $rows = append $rows (dict "from" $agents "to" . "ports" (list "serf") "udp" true) -}}
{{- end -}}
{{- $rows = append $rows (dict "from" $agents "to" "consul" "ports" (list "rpc")) -}}
{{- /* Who looks. */ -}}
{{- $rows = append $rows (dict "from" (list "operator" "test") "to" "jaeger" "ports" (list "query")) -}}
{{- $rows = append $rows (dict "from" (list "prometheus" "test") "to" "controlplane" "ports" (list "debug")) -}}
{{- $rows = append $rows (dict "from" (list "prometheus" "test") "to" "operator" "ports" (list "http")) -}}
{{- $rows = append $rows (dict "from" (list "test") "to" "prometheus" "ports" (list "web")) -}}
{{- $rows = append $rows (dict "from" (list "test") "to" "nats" "ports" (list "nats")) -}}
{{- /* Only what is installed. */ -}}
{{- $others := list "test" "members" -}}
{{- $kept := list -}}
{{- range $rows -}}
{{- if hasKey $here .to -}}
{{- $from := list -}}
{{- range .from }}{{ if or (hasKey $here .) (has . $others) }}{{ $from = append $from . }}{{ end }}{{ end -}}
{{- $known := (get $here .to).ports | default dict -}}
{{- $numbers := list -}}
{{- range .ports }}{{ if hasKey $known . }}{{ $numbers = append $numbers (int (get $known .)) }}{{ end }}{{ end -}}
{{- if and $from $numbers -}}
{{- $kept = append $kept (dict "from" ($from | uniq | sortAlpha) "to" .to "ports" $numbers "udp" (.udp | default false)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{ toJson $kept }}
{{- end -}}
