{{- define "azptend.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
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

{{/* Labels for a selector; takes (dict "root" . "component" "agent"). They never change. */}}
{{- define "azptend.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "azptend.labels" -}}
{{ include "azptend.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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
