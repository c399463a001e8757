{{/* true if the agent exits after one job, otherwise false. */}}
{{- define "azptend.once" -}}
{{- if eq .Values.kind "scaledJob" -}}{{ ne (toString .Values.once) "false" }}{{- else -}}false{{- end -}}
{{- end -}}

{{/* Name and capabilities of the agent: for run, and for register. */}}
{{- define "azptend.registrationEnv" -}}
{{ include "azptend.connectionEnv" . }}
{{ include "azptend.poolEnv" . }}
- {name: AZP_AGENT_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- with .Values.capabilities }}
- {name: AZP_CAPABILITIES, value: {{ include "azptend.capabilities" . | quote }}}
{{- end }}
{{- end -}}

{{/* When the agent exits. */}}
{{- define "azptend.lifeEnv" -}}
- {name: AZP_AGENT_DIR, value: {{ .Values.agentDir | quote }}}
- {name: AZP_AGENT_ROOT, value: {{ .Values.agentRoot.mountPath | quote }}}
- {name: HOME, value: {{ .Values.home.mountPath | quote }}}
- {name: AZP_GRACE_PERIOD, value: {{ .Values.terminationGracePeriodSeconds | int64 | printf "%ds" | quote }}}
- {name: AZP_UPDATE, value: {{ .Values.update | quote }}}
{{- if eq .Values.kind "scaledJob" }}
- {name: AZP_ONCE, value: {{ include "azptend.once" . | quote }}}
- {name: AZP_IDLE_TIMEOUT, value: {{ default "5m" .Values.idleTimeout | quote }}}
{{- if .Values.scaledJob.activeDeadlineSeconds }}
- {name: AZP_REPLICA_TIMEOUT, value: {{ .Values.scaledJob.activeDeadlineSeconds | int64 | printf "%ds" | quote }}}
- {name: AZP_JOB_MAX, value: {{ .Values.scaledJob.jobMaxSeconds | int64 | printf "%ds" | quote }}}
{{- end }}
{{- end }}
{{- if .Values.metrics.enabled }}
- {name: AZP_HEALTH_ADDR, value: {{ .Values.metrics.port | int64 | printf ":%d" | quote }}}
{{- end }}
{{- end -}}
