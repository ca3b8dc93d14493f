{{/* Pods of components, as one peer of a policy. Takes root and names. */}}
{{- define "meshwright.peer" -}}
podSelector:
  matchLabels: {app.kubernetes.io/instance: {{ .root.Release.Name }}}
  matchExpressions: [{key: app.kubernetes.io/name, operator: In, values: {{ toJson .names }}}]
{{- end -}}

{{/*
Services of the mesh that are not this chart's, as peers: pods of rollouts, in the namespaces that the operator looks after, and
those that the values name.
*/}}
{{- define "meshwright.members" -}}
{{- $rollouts := dict "matchExpressions" (list (dict "key" "meshwright.dev/rollout" "operator" "Exists")) -}}
{{- $peers := list (dict "podSelector" $rollouts) -}}
{{- if .Values.operator.clusterwide -}}
{{- $peers = list (dict "namespaceSelector" dict "podSelector" $rollouts) -}}
{{- else -}}
{{- range without .Values.operator.namespaces .Release.Namespace -}}
{{- $peers = append $peers (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .)) "podSelector" $rollouts) -}}
{{- end -}}
{{- end -}}
{{ toYaml (concat $peers .Values.networkPolicy.members) }}
{{- end -}}

{{/* Peers of a row's `from`, or of one component. Takes root and names. */}}
{{- define "meshwright.peers" -}}
{{- $components := without .names "members" -}}
{{- with $components }}
- {{ include "meshwright.peer" (dict "root" $.root "names" .) | nindent 2 | trim }}
{{- end }}
{{- if has "members" .names }}
{{ include "meshwright.members" .root }}
{{- end }}
{{- end -}}

{{/* Ports of a rule. Takes ports, and udp: both protocols. */}}
{{- define "meshwright.policyPorts" -}}
{{- $ports := list -}}
{{- range .ports -}}
{{- $ports = append $ports (dict "port" (int .) "protocol" "TCP") -}}
{{- if $.udp }}{{ $ports = append $ports (dict "port" (int .) "protocol" "UDP") }}{{ end -}}
{{- end -}}
{{ toJson $ports }}
{{- end -}}

{{/* Rules to what a component reaches in the release, one for each set of ports. Takes root, rows and name. */}}
{{- define "meshwright.reaches" -}}
{{- $name := .name -}}{{- $targets := dict -}}
{{- range .rows }}
{{- if has $name .from }}
{{- $ports := include "meshwright.policyPorts" . }}
{{- $_ := set $targets $ports (append (get $targets $ports | default list) .to) }}
{{- end }}
{{- end }}
{{- range $ports, $names := $targets }}
- ports: {{ $ports }}
  to:
    - {{ include "meshwright.peer" (dict "root" $.root "names" ($names | uniq | sortAlpha)) | nindent 6 | trim }}
{{- end }}
{{- end -}}

{{/* A rule to an address outside of the release. Takes to (peers; none: any address), ports and udp. */}}
{{- define "meshwright.outside" -}}
- ports: {{ include "meshwright.policyPorts" . }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The port of an address or URL. Takes address and default. */}}
{{- define "meshwright.portOf" -}}
{{- $host := first (splitList "," .address) | trimPrefix "http://" | trimPrefix "https://" | splitList "/" | first -}}
{{- $host = .address | contains "@" | ternary (last (splitList "@" .address) | splitList "/" | first) $host -}}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (hasPrefix "https://" .address | ternary "443" .default) -}}
{{- end -}}

{{/* External parts, as JSON: name -> {ports, to, users}. Users: names of components. */}}
{{- define "meshwright.externals" -}}
{{- $root := . -}}{{- $v := .Values -}}
{{- $found := dict -}}
{{- $ours := list -}}{{- $database := list -}}{{- $nats := list -}}
{{- range $name, $c := $v.components -}}
{{- if and (not (include "meshwright.thirdParty" (dict "root" $root "c" $c))) (not (has $name (list "jaeger" "nats"))) }}{{ $ours = append $ours $name }}{{ end -}}
{{- if $c.database }}{{ $database = append $database $name }}{{ end -}}
{{- if $c.nats }}{{ $nats = append $nats $name }}{{ end -}}
{{- end -}}
{{- with $v.consul.external -}}
{{- $_ := set $found "consul" (dict "ports" (list (include "meshwright.portOf" (dict "address" . "default" "8500"))) "users" (concat $ours (list "prometheus" "test"))) -}}
{{- end -}}
{{- with $v.jaeger.external -}}
{{- $ports := list (include "meshwright.portOf" (dict "address" . "default" "4317")) -}}
{{- with $v.jaeger.query }}{{ $ports = append $ports (include "meshwright.portOf" (dict "address" . "default" "80")) }}{{ end -}}
{{- $_ := set $found "jaeger" (dict "ports" $ports "users" (append $ours "test")) -}}
{{- end -}}
{{- if or $v.nats.external $v.nats.existingSecret -}}
{{- $_ := set $found "nats" (dict "ports" (list (include "meshwright.portOf" (dict "address" ($v.nats.external | trimPrefix "nats://" | trimPrefix "tls://") "default" "4222"))) "users" $nats) -}}
{{- end -}}
{{- if eq $v.database.mode "external" -}}
{{- $_ := set $found "database" (dict "ports" (list (include "meshwright.portOf" (dict "address" ($v.database.url | trimPrefix "postgresql://" | trimPrefix "postgres://") "default" "5432"))) "users" $database) -}}
{{- end -}}
{{- with $v.demo.social.issuer -}}
{{- $_ := set $found "social" (dict "ports" (list (include "meshwright.portOf" (dict "address" . "default" "80"))) "users" (list "gateway")) -}}
{{- end -}}
{{- range $name, $each := $found -}}
{{- $given := get $v.networkPolicy.external $name -}}
{{- with $given.ports }}{{ $_ := set $each "ports" . }}{{ end -}}
{{- $_ := set $each "to" $given.peers -}}
{{- end -}}
{{ toJson $found }}
{{- end -}}

{{/*
The policy of a component's pods: they are reached by, and reach, what the table of connections says, and no others. The kubelet
of a pod's own node always gets in, with probes and `kubectl port-forward`.
*/}}
{{- define "meshwright.networkPolicy" -}}
{{- $root := .root -}}{{- $name := .name -}}
{{- $policy := $root.Values.networkPolicy -}}
{{- $rows := include "meshwright.connections" $root | fromJsonArray -}}
{{- $externals := include "meshwright.externals" $root | fromJson -}}
{{- $ports := .c.ports | default dict -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .full }}
  labels: {{- .labels | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- .selector | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- $ingress := list }}
  {{- if eq $name "gateway" }}
  {{- $ingress = append $ingress (dict "ports" (list (dict "port" (int $ports.http) "protocol" "TCP"))) }}
  {{- end }}
  {{- $relays := list }}
  {{- if eq $name "coturn" }}
  {{- /* Clients and their peers are anywhere, but not in the cluster: as denied-peer-ip of its configuration has it. */}}
  {{- range $port, $number := $ports }}{{- $relays = append $relays (dict "port" (int $number) "protocol" "UDP") }}{{- end }}
  {{- $ingress = append $ingress (dict "ports" $relays) }}
  {{- end }}
  {{- range $rows }}
  {{- if and (eq .to $name) (not (and (eq $name "gateway") (eq (first .ports | int) (int $ports.http)))) }}
  {{- $ingress = append $ingress (dict "ports" (include "meshwright.policyPorts" . | fromJsonArray) "from" (include "meshwright.peers" (dict "root" $root "names" .from) | fromYamlArray)) }}
  {{- end }}
  {{- end }}
  {{- if and .c.mesh $externals.consul }}
  {{- /* It asks each service whether it is well. */}}
  {{- $check := dict "ports" (list (dict "port" (int ($ports.grpc | default $ports.admin)) "protocol" "TCP")) }}
  {{- with $externals.consul.to }}{{ $_ := set $check "from" . }}{{ end }}
  {{- $ingress = append $ingress $check }}
  {{- end }}
  {{- /* A Prometheus that monitors bring here is somewhere in the cluster. */}}
  {{- $anywhere := $root.Values.monitoring.scrape.enabled | ternary (list (dict "namespaceSelector" dict)) list }}
  {{- with $policy.metricsFrom | default $anywhere }}
  {{- $metrics := get (dict "controlplane" $ports.debug "operator" $ports.http "prometheus" $ports.web) $name | default $ports.metrics }}
  {{- if $metrics }}
  {{- $ingress = append $ingress (dict "ports" (list (dict "port" (int $metrics) "protocol" "TCP")) "from" .) }}
  {{- end }}
  {{- end }}
  {{- with $policy.allow }}
  {{- $ingress = append $ingress (dict "from" .) }}
  {{- end }}
  {{- $ingress = concat $ingress (dig $name "ingress" list $policy.extra) }}
  {{- with $ingress }}
  ingress: {{- toYaml . | nindent 4 }}
  {{- end }}
  egress:
    {{- include "meshwright.outside" (dict "ports" $policy.dns.ports "to" $policy.dns.to "udp" true) | nindent 4 }}
    {{- include "meshwright.reaches" (dict "root" $root "rows" $rows "name" $name) | nindent 4 }}
    {{- if or .c.mesh (has $name (list "operator" "prometheus" "consul" "consul-client")) }}
    # Services of others say in Consul at which port they are called, checked and scraped.
    - to: {{- include "meshwright.members" $root | nindent 8 }}
    {{- end }}
    {{- if eq $name "operator" }}
    {{- include "meshwright.outside" $policy.apiServer | nindent 4 }}
    {{- end }}
    {{- range $externals }}
    {{- if has $name .users }}
    {{- include "meshwright.outside" . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- if $relays }}
    - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]}}]
    {{- end }}
    {{- with dig $name "egress" list $policy.extra }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
