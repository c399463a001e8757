{{/* KEDA's minor version: 2.19 for 2.19.3. */}}
{{- define "azptend.kedaVersion" -}}
{{- regexFind "^2\\.[0-9]+" (toString .Values.keda.version) -}}
{{- end -}}

{{/*
The scaling strategy. KEDA up to 2.19 counts running jobs, 2.20 does not, and 2.21 does unless
scaleOnInFlight is "false". "default" subtracts the Kubernetes Jobs that run, so it needs them counted;
"accurate" subtracts only those that are still pending, so it needs them left out. Another combination starts too
many agents, or none (kedacore/keda#7747, #7878).
*/}}
{{- define "azptend.kedaStrategy" -}}
{{- /* The keeper's number includes running jobs, with every version of KEDA. */}}
{{- if eq .Values.keda.trigger "metrics-api" -}}default
{{- else if .Values.keda.strategy -}}{{ .Values.keda.strategy }}
{{- else if eq (include "azptend.kedaVersion" .) "2.20" -}}accurate
{{- else if eq (toString .Values.keda.scaleOnInFlight) "false" -}}accurate
{{- else -}}default
{{- end -}}
{{- end -}}

{{- define "azptend.trigger" -}}
{{- if eq .Values.keda.trigger "metrics-api" -}}
{{- include "azptend.metricsAPITrigger" . -}}
{{- else -}}
{{- include "azptend.pipelinesTrigger" . -}}
{{- end }}
authenticationRef:
  name: {{ default (include "azptend.fullname" .) .Values.keda.authenticationRef.name }}
  {{- with .Values.keda.authenticationRef.kind }}
  kind: {{ . }}
  {{- end }}
{{- end -}}

{{- define "azptend.metricsAPITrigger" -}}
type: metrics-api
metadata:
  url: {{ include "azptend.scaleURL" . | quote }}
  valueLocation: desired
  targetValue: "1"
  # Without it KEDA sends no token, and does not say so.
  authMode: bearer
{{- end -}}

{{- define "azptend.pipelinesTrigger" -}}
{{- $k := .Values.keda -}}
type: azure-pipelines
metadata:
  organizationURL: {{ .Values.organizationURL | quote }}
  {{- if .Values.pool.id }}
  poolID: {{ .Values.pool.id | int64 | quote }}
  {{- else }}
  poolName: {{ .Values.pool.name | quote }}
  {{- end }}
  targetPipelinesQueueLength: "1"
  {{- with $k.parent }}
  parent: {{ . | quote }}
  {{- end }}
  {{- with $k.demands }}
  demands: {{ join "," . | quote }}
  {{- end }}
  {{- range $field := list "requireAllDemands" "requireAllDemandsAndIgnoreOthers" "caseInsensitiveDemandsProcessing" }}
  {{- if get $k $field }}
  {{ $field }}: "true"
  {{- end }}
  {{- end }}
  {{- /* KEDA refuses these two together, even if the first is "false". */}}
  {{- if $k.jobsToFetch }}
  jobsToFetch: {{ $k.jobsToFetch | int64 | quote }}
  {{- else if $k.fetchUnfinishedJobsOnly }}
  fetchUnfinishedJobsOnly: "true"
  {{- end }}
  {{- if eq (include "azptend.kedaVersion" .) "2.21" }}
  scaleOnInFlight: {{ eq (include "azptend.kedaStrategy" .) "default" | quote }}
  {{- end }}
{{- end -}}
