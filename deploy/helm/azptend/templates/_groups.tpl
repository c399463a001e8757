{{/* The keepers of keep.groups: the first one, and one that only answers KEDA. One of them suffices. */}}
{{- define "azptend.keepers" -}}
- {name: {{ include "azptend.keepName" . }}, component: keep}
{{- if .Values.keep.groups }}
- {name: {{ include "azptend.keepName" . }}-scale, component: keep-scale}
{{- end }}
{{- end -}}

{{/* Label of both keepers' pods. A Service can only select by equal labels, and the two Deployments need different ones. */}}
{{- define "azptend.keepersLabel" -}}
{{- if .Values.keep.groups -}}
azptend/keeper: "true"
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* Labels that select the pods of all keepers. */}}
{{- define "azptend.keepSelector" -}}
{{- $first := include "azptend.selector" (dict "root" . "component" "keep") -}}
{{- if .Values.keep.groups -}}
{{- merge (include "azptend.keepersLabel" . | fromYaml) (omit (fromYaml $first) "app.kubernetes.io/component") | toYaml -}}
{{- else -}}
{{- $first -}}
{{- end -}}
{{- end -}}

{{/* Where a keeper's pod runs. Two keepers on one node would end together. */}}
{{- define "azptend.keepScheduling" -}}
{{- $spread := dict -}}
{{- if .Values.keep.groups -}}
{{- $labels := include "azptend.keepSelector" . | fromYaml -}}
{{- $spread = dict "topologySpreadConstraints" (list (dict "maxSkew" 1 "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" (dict "matchLabels" $labels))) -}}
{{- end -}}
{{- include "azptend.scheduling" (merge $spread .Values.keep) -}}
{{- end -}}

{{/* The file of groups. The group of this release's agents has their capabilities too. */}}
{{- define "azptend.groupsFile" -}}
{{- $groups := list -}}
{{- range .Values.keep.groups -}}
{{- $group := deepCopy . -}}
{{- if and (eq .name $.Values.keda.group) $.Values.capabilities -}}
{{- $group = set $group "capabilities" (merge (dict) $.Values.capabilities (default dict .capabilities)) -}}
{{- end -}}
{{- $groups = append $groups $group -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}

{{/* The group keda.group, as YAML; {} if keep.groups has none of this name. */}}
{{- define "azptend.group" -}}
{{- $found := dict -}}
{{- range .Values.keep.groups -}}
{{- if eq .name $.Values.keda.group -}}{{- $found = . -}}{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* The operator runs in another namespace, and its NO_PROXY usually has .svc. */}}
{{- define "azptend.scaleURL" -}}
{{- $keeper := printf "http://%s.%s.svc:%d" (include "azptend.keepName" .) .Release.Namespace (int64 .Values.keep.port) -}}
{{ default $keeper .Values.keda.keeperURL }}/scale/{{ .Values.keda.group }}
{{- end -}}

{{- define "azptend.pollingInterval" -}}
{{ int64 (default (ternary 2 30 (eq .Values.keda.trigger "metrics-api")) .Values.keda.pollingInterval) }}
{{- end -}}

{{- define "azptend.maxReplicaCount" -}}
{{ int64 (default (default 10 (include "azptend.group" . | fromYaml).max) .Values.keda.maxReplicaCount) }}
{{- end -}}

{{/* The Secret with the token that KEDA sends. */}}
{{- define "azptend.scaleTokenSecret" -}}
{{ default .Values.keep.token.existingSecret .Values.keep.scaleToken.existingSecret }}
{{- end -}}
