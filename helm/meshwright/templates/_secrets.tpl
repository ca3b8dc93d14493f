{{/*
Where secret values come from. Each has three ways, in this order: a Secret that exists (`existingSecret` and its key), a value
given in clear, which a Secret of the release holds, and for passwords none of both: the setup Job makes one up, once.
*/}}

{{/* The Secret with the database's password or URL. */}}
{{- define "meshwright.databaseSecret" -}}
{{ .Values.database.existingSecret | default (include "meshwright.fullname" (dict "root" . "name" "database")) }}
{{- end -}}

{{/* The Secret with the password of the gateway's account `operator`. */}}
{{- define "meshwright.operatorPasswordSecret" -}}
{{ .Values.demo.existingSecret | default (include "meshwright.fullname" (dict "root" . "name" "gateway")) }}
{{- end -}}

{{/* The Secret with what coturn and the gateway share. */}}
{{- define "meshwright.turnSecret" -}}
{{ .Values.turn.existingSecret | default (include "meshwright.fullname" (dict "root" . "name" "coturn")) }}
{{- end -}}

{{/* Secrets that the setup Job makes, as JSON: name -> keys. */}}
{{- define "meshwright.madeUpSecrets" -}}
{{- $made := dict -}}
{{- if and .Values.demo.enabled (eq .Values.database.mode "postgresql") (not .Values.database.existingSecret) (not .Values.database.password) -}}
{{- $_ := set $made (include "meshwright.databaseSecret" .) (list .Values.database.passwordKey) -}}
{{- end -}}
{{- if and .Values.demo.enabled (not .Values.demo.existingSecret) (not .Values.demo.operatorPassword) -}}
{{- $_ := set $made (include "meshwright.operatorPasswordSecret" .) (list .Values.demo.operatorPasswordKey) -}}
{{- end -}}
{{- if and .Values.demo.enabled .Values.turn.enabled (not .Values.turn.existingSecret) (not .Values.turn.secret) -}}
{{- $_ := set $made (include "meshwright.turnSecret" .) (list .Values.turn.secretKey) -}}
{{- end -}}
{{ toJson $made }}
{{- end -}}

{{/* Whether the database's URL is a secret as a whole: it is external, and was not given apart from its password. */}}
{{- define "meshwright.databaseUrlIsSecret" -}}
{{- if and (eq .Values.database.mode "external") (not (and .Values.database.url .Values.database.existingSecret)) -}}true{{- end -}}
{{- end -}}

{{/* The database's URL where it is no secret; its password is PGPASSWORD then, as PostgreSQL's own clients have it. */}}
{{- define "meshwright.databaseUrl" -}}
{{ .Values.database.url | default (printf "postgresql://meshwright@%s:5432/demo" (include "meshwright.fullname" (dict "root" . "name" "postgresql"))) }}
{{- end -}}

{{/* Variables of a component that come from Secrets, as JSON: variable -> [Secret, key]. Takes root, name and c. */}}
{{- define "meshwright.secretVariables" -}}
{{- $root := .root -}}{{- $c := .c -}}{{- $v := $root.Values -}}
{{- $found := dict -}}
{{- $own := and $c.database (hasKey ($c.env | default dict) $c.database) -}}
{{- if and $c.database (not $own) (ne $v.database.mode "sqlite") -}}
{{- if include "meshwright.databaseUrlIsSecret" $root -}}
{{- $_ := set $found $c.database (list (include "meshwright.databaseSecret" $root) $v.database.urlKey) -}}
{{- else -}}
{{- $_ := set $found "PGPASSWORD" (list (include "meshwright.databaseSecret" $root) $v.database.passwordKey) -}}
{{- end -}}
{{- end -}}
{{- if eq .name "postgresql" -}}
{{- $_ := set $found "POSTGRES_PASSWORD" (list (include "meshwright.databaseSecret" $root) $v.database.passwordKey) -}}
{{- end -}}
{{- if and $c.nats $v.nats.existingSecret -}}
{{- $_ := set $found "NATS_URL" (list $v.nats.existingSecret $v.nats.urlKey) -}}
{{- end -}}
{{- if and $v.jaeger.headers.existingSecret (not (include "meshwright.thirdParty" .)) -}}
{{- $_ := set $found "OTEL_EXPORTER_OTLP_HEADERS" (list $v.jaeger.headers.existingSecret $v.jaeger.headers.key) -}}
{{- end -}}
{{- if eq .name "coturn" -}}
{{- $_ := set $found "TURN_SECRET" (list (include "meshwright.turnSecret" $root) $v.turn.secretKey) -}}
{{- end -}}
{{- if eq .name "gateway" -}}
{{- if $v.turn.enabled -}}
{{- $_ := set $found "GATEWAY_TURN_SECRET" (list (include "meshwright.turnSecret" $root) $v.turn.secretKey) -}}
{{- end -}}
{{- $_ := set $found "GATEWAY_OPERATOR_PASSWORD" (list (include "meshwright.operatorPasswordSecret" $root) $v.demo.operatorPasswordKey) -}}
{{- with $v.demo.keyPassphrase.existingSecret -}}
{{- $_ := set $found "GATEWAY_KEY_PASSPHRASE" (list . $v.demo.keyPassphrase.key) -}}
{{- end -}}
{{- if and $v.demo.social.issuer $v.demo.social.existingSecret -}}
{{- $_ := set $found "GATEWAY_SOCIAL_CLIENT_SECRET" (list $v.demo.social.existingSecret $v.demo.social.clientSecretKey) -}}
{{- end -}}
{{- end -}}
{{- /* What a component's own `env` has wins. */ -}}
{{- range $variable, $value := $c.env }}{{ $_ := unset $found $variable }}{{ end -}}
{{- range $variable, $place := $c.secrets -}}
{{- $_ := set $found $variable (list $place.existingSecret $place.key) -}}
{{- end -}}
{{ toJson $found }}
{{- end -}}

{{/* Whether a component is a program of ours that talks to Consul. */}}
{{- define "meshwright.readsConsul" -}}
{{- if not (or (include "meshwright.thirdParty" .) (has .name (list "jaeger" "nats"))) -}}true{{- end -}}
{{- end -}}

{{/* Files about Consul that a component has from Secrets, as a projected volume's sources; empty: none. */}}
{{- define "meshwright.consulFiles" -}}
{{- $v := .root.Values.consul -}}{{- $files := list -}}
{{- if or (eq .name "prometheus") (include "meshwright.readsConsul" .) -}}
{{- with $v.token.existingSecret -}}
{{- $key := get $v.token.keys $.name | default $v.token.key -}}
{{- $files = append $files (dict "secret" (dict "name" . "items" (list (dict "key" $key "path" "token")))) -}}
{{- end -}}
{{- with $v.tls.ca.existingSecret -}}
{{- $files = append $files (dict "secret" (dict "name" . "items" (list (dict "key" $v.tls.ca.key "path" "ca.crt")))) -}}
{{- end -}}
{{- with $v.tls.client.existingSecret -}}
{{- $items := list (dict "key" $v.tls.client.certKey "path" "tls.crt") (dict "key" $v.tls.client.keyKey "path" "tls.key") -}}
{{- $files = append $files (dict "secret" (dict "name" . "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- if $files }}{{ toYaml $files }}{{ end -}}
{{- end -}}

{{/* Variables that say where these files are, as Consul's own tools read them; as JSON. */}}
{{- define "meshwright.consulVariables" -}}
{{- $v := .Values.consul -}}{{- $found := dict -}}
{{- if $v.token.existingSecret -}}{{- $_ := set $found "CONSUL_HTTP_TOKEN_FILE" "/etc/meshwright/consul/token" -}}{{- end -}}
{{- if $v.tls.enabled -}}{{- $_ := set $found "CONSUL_HTTP_SSL" "true" -}}{{- end -}}
{{- if $v.tls.serverName -}}{{- $_ := set $found "CONSUL_TLS_SERVER_NAME" $v.tls.serverName -}}{{- end -}}
{{- if $v.tls.ca.existingSecret -}}{{- $_ := set $found "CONSUL_CACERT" "/etc/meshwright/consul/ca.crt" -}}{{- end -}}
{{- if $v.tls.client.existingSecret -}}
{{- $_ := set $found "CONSUL_CLIENT_CERT" "/etc/meshwright/consul/tls.crt" -}}
{{- $_ := set $found "CONSUL_CLIENT_KEY" "/etc/meshwright/consul/tls.key" -}}
{{- end -}}
{{ toJson $found }}
{{- end -}}

{{/*
What restarts a component's pods when it changes, as JSON: which Secrets it reads, and values that were given in clear.
A Secret that exists is not read: a chart that did could not be rendered without its cluster.
*/}}
{{- define "meshwright.secretsChecksum" -}}
{{- $secrets := include "meshwright.secretVariables" . | fromJson -}}
{{- $found := dict -}}
{{- if $secrets -}}{{- $_ := set $found "variables" $secrets -}}{{- end -}}
{{- $clear := dict (include "meshwright.databaseSecret" .root) (pick .root.Values.database "password" "url") (include "meshwright.operatorPasswordSecret" .root) .root.Values.demo.operatorPassword (include "meshwright.turnSecret" .root) .root.Values.turn.secret -}}
{{- range $secrets -}}
{{- with index $clear (first .) -}}{{- $_ := set $found "clear" (append ($found.clear | default list) .) -}}{{- end -}}
{{- end -}}
{{- with include "meshwright.consulFiles" . -}}{{- $_ := set $found "files" . -}}{{- end -}}
{{- if $found }}{{ toJson $found }}{{ end -}}
{{- end -}}

{{/* The volume of a component's StatefulSet, as JSON: size (empty: none) and class (empty: the cluster's default). */}}
{{- define "meshwright.volume" -}}
{{- $size := .root.Values.persistence.enabled | ternary (tpl (.c.storage | default "") .root) "" -}}
{{- $class := tpl (.c.storageClass | default "") .root | default .root.Values.persistence.storageClass -}}
{{ dict "size" $size "class" $class | toJson }}
{{- end -}}

{{/* What the setup Job is made of. Takes root, name and plan. */}}
{{- define "meshwright.setupJob" -}}
backoffLimit: 3
activeDeadlineSeconds: 300
# What is wrong with the cluster or the values is as wrong the next time.
podFailurePolicy:
  rules:
    - {action: FailJob, onExitCodes: {operator: In, values: [78]}}
template:
  metadata:
    {{- with include "meshwright.setting" (dict "root" .root "c" .root.Values.hooks "key" "podAnnotations") }}
    annotations: {{- . | nindent 6 }}
    {{- end }}
    labels: {{- include "meshwright.allPodLabels" (dict "root" .root "name" "setup" "c" .root.Values.hooks) | nindent 6 }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ .name }}
    automountServiceAccountToken: true
    {{- include "meshwright.podSettings" (dict "root" .root "c" .root.Values.hooks) | nindent 4 }}
    containers:
      - name: setup
        image: {{ include "meshwright.image" .root | quote }}
        imagePullPolicy: {{ .root.Values.image.pullPolicy }}
        args: [meshwright_operator.setup]
        env:
          - {name: MESHWRIGHT_SETUP, value: {{ .plan | quote }}}
        # Its last words are in the pod's status, for who may not read logs.
        terminationMessagePolicy: FallbackToLogsOnError
        resources: {{- toYaml .root.Values.hooks.resources | nindent 10 }}
        {{- include "meshwright.containerSettings" (dict "root" .root "c" .root.Values.hooks) | nindent 8 }}
        volumeMounts: [{name: tmp, mountPath: /tmp}]
    volumes: [{name: tmp, emptyDir: {}}]
{{- end -}}
