{{- define "azptend.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azptend.keepName" -}}
{{ include "azptend.fullname" . }}-keep
{{- end -}}

{{- define "azptend.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "azptend.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "azptend.keepServiceAccount" -}}
{{- if .Values.keep.serviceAccount.create -}}
{{ default (include "azptend.keepName" .) .Values.keep.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.keep.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* Name of an image, from its values. A digest overrides a tag. */}}
{{- define "azptend.image" -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else if .tag -}}{{ .repository }}:{{ .tag }}
{{- else -}}{{ .repository }}
{{- end -}}
{{- end -}}

{{/* The keeper's image, with its pull policy; and its command for a shell. */}}
{{- define "azptend.keepImage" -}}
{{ toYaml (ternary .Values.keep.image .Values.image (ne .Values.keep.image.repository "")) }}
{{- end -}}

{{- define "azptend.keepCommand" -}}
{{ join " " (ternary .Values.keep.command .Values.command (ne .Values.keep.image.repository "")) }}
{{- end -}}
