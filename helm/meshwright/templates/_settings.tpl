{{/*
A setting of pods, of all (`defaults`) and of one component, as YAML; empty: none. Takes root, c and key. Maps are merged, and a
component's keys win; lists are joined, by `by` where an entry has a name, and a component's entries win; of anything else the
component's value holds. A key that is null is taken away.
*/}}
{{- define "meshwright.setting" -}}
{{- $all := index .root.Values.defaults .key -}}
{{- $own := index (.c | default dict) .key -}}
{{- if or (kindIs "map" $all) (kindIs "map" $own) -}}
{{- $merged := dict -}}
{{- range $each := list .base $all $own -}}
{{- range $key, $value := $each -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $merged $key }}{{ else }}{{ $_ := set $merged $key $value }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with $merged }}{{ toYaml . }}{{ end -}}
{{- else if .by -}}
{{- $named := dict -}}{{- $order := list -}}
{{- range $each := concat ($all | default list) ($own | default list) -}}
{{- $name := get $each $.by -}}
{{- if not (hasKey $named $name) }}{{ $order = append $order $name }}{{ end -}}
{{- $_ := set $named $name $each -}}
{{- end -}}
{{- $joined := list -}}
{{- range $order }}{{ $joined = append $joined (get $named .) }}{{ end -}}
{{- with $joined }}{{ toYaml . }}{{ end -}}
{{- else if or (kindIs "slice" $all) (kindIs "slice" $own) -}}
{{- with concat ($all | default list) ($own | default list) | uniq }}{{ toYaml . }}{{ end -}}
{{- else -}}
{{- with ternary $own $all (hasKey (.c | default dict) .key) }}{{ toYaml . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Text of a value: numbers as they were written, and templates in strings. Takes root and value. */}}
{{- define "meshwright.text" -}}
{{- if kindIs "string" .value }}{{ tpl .value .root }}{{ else }}{{ toJson .value }}{{ end -}}
{{- end -}}

{{/* Whether a component runs a program of others: it gets no variables of the mesh, and no Python runs before it ends. */}}
{{- define "meshwright.thirdParty" -}}
{{- if eq (include "meshwright.text" (dict "root" .root "value" (dig "thirdParty" false .c))) "true" -}}true{{- end -}}
{{- end -}}

{{/* The image of a component: its own, or that of all. */}}
{{- define "meshwright.componentImage" -}}
{{- tpl (get (.c | default dict) "image" | default "") .root | default (include "meshwright.image" .root) -}}
{{- end -}}

{{/* The account that a component's pods run as. */}}
{{- define "meshwright.serviceAccountName" -}}
{{- $account := get (.c | default dict) "serviceAccount" | default dict -}}
{{- $own := include "meshwright.fullname" (dict "root" .root "name" .name) -}}
{{- $account.name | default ($account.create | default false | ternary $own (include "meshwright.fullname" (dict "root" .root "name" "plain"))) -}}
{{- end -}}

{{/*
What every pod of the chart has in common, a hook's too: where it may run, and as whom. Takes root and c; of a hook, c is
`hooks`, which has a component's keys about pods.
*/}}
{{- define "meshwright.podSettings" -}}
# A Service called meshwright-controlplane would otherwise set MESHWRIGHT_CONTROLPLANE_PORT=tcp://...
enableServiceLinks: false
{{- $uid := get (.c | default dict) "uid" | default 10001 | int64 }}
{{- $base := dict "runAsUser" $uid "runAsGroup" $uid "fsGroup" $uid }}
{{- with include "meshwright.setting" (dict "root" .root "c" .c "key" "podSecurityContext" "base" $base) }}
securityContext: {{- . | nindent 2 }}
{{- end }}
{{- with concat .root.Values.imagePullSecrets (get (.c | default dict) "imagePullSecrets" | default list) | uniq }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with include "meshwright.setting" (dict "root" $.root "c" $.c "key" $key) }}
{{ $key }}: {{ kindIs "string" (get $.root.Values.defaults $key) | ternary . (nindent 2 .) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The container's security context. Takes root and c. */}}
{{- define "meshwright.containerSettings" -}}
{{- with include "meshwright.setting" (dict "root" .root "c" .c "key" "securityContext") }}
securityContext: {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels of a pod, with those that the values add. */}}
{{- define "meshwright.allPodLabels" -}}
{{ include "meshwright.podLabels" . }}
{{- with include "meshwright.setting" (dict "root" .root "c" .c "key" "podLabels") }}
{{ . }}
{{- end }}
{{- end -}}
