{{/* Which Gateways a route belongs to, and for which hosts. Takes root, route, and place, its path in the values. */}}
{{- define "meshwright.parents" -}}
{{- $made := dict "name" (include "meshwright.fullname" (dict "root" .root "name" "gateway")) -}}
{{- $parents := .route.parentRefs | default (.root.Values.gatewayApi.gateway.create | ternary (list $made) list) -}}
{{- if not $parents }}{{ fail (printf "%s.parentRefs: names no Gateway; give one, or set gatewayApi.gateway.create=true" .place) }}{{ end -}}
parentRefs: {{- toYaml $parents | nindent 2 }}
{{- with .route.hostnames }}
hostnames: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
