{{/* The variables of a keeper; takes "root" and "component". */}}
{{- define "azptend.keepEnv" -}}
{{- $v := .root.Values -}}
{{- $k := $v.keep -}}
{{- $first := eq .component "keep" -}}
{{ include "azptend.connectionEnv" .root }}
{{ include "azptend.poolEnv" .root }}
{{- with include "azptend.identityEnv" (include "azptend.keepIdentity" .root | fromYaml) }}
{{ . }}
{{- end }}
{{- with $k.placeholder.name }}
- {name: AZP_AGENT_NAME, value: {{ . | quote }}}
{{- end }}
{{- if $k.groups }}
{{- /* The file has the capabilities of each group's placeholder. */}}
- {name: AZP_KEEP_GROUPS_FILE, value: /etc/azptend/groups/groups.yaml}
- name: AZP_KEEP_SCALE_TOKEN
  valueFrom: {secretKeyRef: {name: {{ include "azptend.scaleTokenSecret" .root }}, key: {{ $k.scaleToken.key }}}}
{{- else if $k.placeholder.capabilities }}
- {name: AZP_CAPABILITIES, value: {{ include "azptend.capabilities" (dict "name" "keep.placeholder.capabilities" "value" $k.placeholder.capabilities) | quote }}}
{{- else if $v.capabilities }}
- {name: AZP_CAPABILITIES, value: {{ include "azptend.capabilities" (dict "name" "capabilities" "value" $v.capabilities) | quote }}}
{{- end }}
- {name: AZP_KEEP_PLACEHOLDER, value: {{ and $first $k.placeholder.enabled | quote }}}
- {name: AZP_KEEP_INTERVAL, value: {{ $k.interval | quote }}}
- {name: AZP_KEEP_PRUNE, value: {{ and $first $k.prune | quote }}}
- {name: AZP_KEEP_OLDER_THAN, value: {{ $k.olderThan | quote }}}
- {name: AZP_KEEP_ANY_OWNER, value: {{ $k.anyOwner | quote }}}
{{- with $k.match }}
- {name: AZP_KEEP_MATCH, value: {{ . | quote }}}
{{- end }}
- {name: AZP_KEEP_HEALTH_LISTEN, value: {{ $k.healthPort | int64 | printf ":%d" | quote }}}
{{- if $k.token.existingSecret }}
- {name: AZP_KEEP_LISTEN, value: {{ $k.port | int64 | printf ":%d" | quote }}}
- name: AZP_KEEP_TOKEN
  valueFrom: {secretKeyRef: {name: {{ $k.token.existingSecret }}, key: {{ $k.token.key }}}}
{{- else }}
{{- /* The pod's loopback address: only kubectl port-forward reaches it. */}}
- {name: AZP_KEEP_LISTEN, value: {{ $k.port | int64 | printf "127.0.0.1:%d" | quote }}}
{{- end }}
{{- end -}}
