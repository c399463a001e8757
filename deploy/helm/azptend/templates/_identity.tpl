{{/* The keeper's identity: its own if one is set, otherwise the agents'. */}}
{{- define "azptend.keepIdentity" -}}
{{- if .Values.keep.identity.type -}}{{ toYaml .Values.keep.identity }}{{- else -}}{{ toYaml .Values.identity }}{{- end -}}
{{- end -}}

{{/* Annotations by which Azure's webhook finds the identity of a service account, as YAML of a dict. */}}
{{- define "azptend.accountAnnotations" -}}
{{- if eq .type "workloadIdentity" -}}
azure.workload.identity/client-id: {{ .clientId | quote }}
{{- with .tenantId }}
azure.workload.identity/tenant-id: {{ . | quote }}
{{- end }}
{{- else -}}
{}
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
