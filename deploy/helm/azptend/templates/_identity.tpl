{{/* The keeper's identity: its own if one is set, otherwise the agents'. */}}
{{- define "azptend.keepIdentity" -}}
{{- if .Values.keep.identity.type -}}{{ toYaml .Values.keep.identity }}{{- else -}}{{ toYaml .Values.identity }}{{- end -}}
{{- end -}}

{{/* Annotations of a service account; takes (dict "identity" . "own" .). Azure's webhook finds the identity by the first one. */}}
{{- define "azptend.accountAnnotations" -}}
{{- $workload := eq .identity.type "workloadIdentity" -}}
{{- if or $workload .own -}}
annotations:
  {{- if $workload }}
  azure.workload.identity/client-id: {{ .identity.clientId | quote }}
  {{- with .identity.tenantId }}
  azure.workload.identity/tenant-id: {{ . | quote }}
  {{- end }}
  {{- end }}
  {{- with .own }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The label that selects a pod for the webhook. */}}
{{- define "azptend.identityLabels" -}}
{{- if eq .type "workloadIdentity" -}}
azure.workload.identity/use: "true"
{{- end -}}
{{- end -}}

{{/* The variables of an identity. AZP_AUTH prevents a fallback: a workload identity without its token must not become the node's identity. */}}
{{- define "azptend.identityEnv" -}}
{{- if eq .type "workloadIdentity" -}}
- {name: AZP_AUTH, value: workload-identity}
{{- else if eq .type "managedIdentity" -}}
- {name: AZP_AUTH, value: managed-identity}
{{- with .clientId }}
- {name: USRMI_ID, value: {{ . | quote }}}
{{- end }}
{{- else if eq .type "servicePrincipal" -}}
- {name: AZP_AUTH, value: service-principal}
- {name: AZP_CLIENTID, value: {{ .clientId | quote }}}
- {name: AZP_TENANTID, value: {{ .tenantId | quote }}}
- name: AZP_CLIENTSECRET
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ default "clientSecret" .secretKey }}}}
{{- else if eq .type "pat" -}}
- {name: AZP_AUTH, value: pat}
- name: AZP_TOKEN
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ default "token" .secretKey }}}}
{{- end -}}
{{- end -}}

{{/* The variables of every azptend: the organisation and the log. */}}
{{- define "azptend.connectionEnv" -}}
- {name: AZP_URL, value: {{ .Values.organizationURL | quote }}}
- {name: AZP_LOG_FORMAT, value: {{ .Values.log.format | quote }}}
- {name: AZP_LOG_LEVEL, value: {{ .Values.log.level | quote }}}
{{- end -}}

{{- define "azptend.poolEnv" -}}
{{- if .Values.pool.id -}}
- {name: AZP_POOL_ID, value: {{ .Values.pool.id | int64 | quote }}}
{{- else -}}
- {name: AZP_POOL, value: {{ .Values.pool.name | quote }}}
{{- end -}}
{{- end -}}

{{- define "azptend.capabilities" -}}
{{- $pairs := list -}}
{{- range $name, $value := . -}}{{- $pairs = append $pairs (printf "%s=%v" $name $value) -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}
