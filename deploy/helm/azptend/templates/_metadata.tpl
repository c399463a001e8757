{{/* Labels for a selector; takes (dict "root" . "component" "agent"). They never change. */}}
{{- define "azptend.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/*
Labels or annotations, each key once: some clients refuse YAML with a key twice.
Takes (dict "own" the chart's "users" a dict of the values by their names). A value must not replace
what the chart sets: selectors and Azure's webhook read it.
*/}}
{{- define "azptend.merged" -}}
{{- $all := dict -}}
{{- range $name, $value := .users -}}
{{- range $key, $said := $value -}}
{{- if hasKey $.own $key -}}
{{- fail (printf "%s has the key %q, which the chart sets itself\nhint: remove it from %s" $name $key $name) -}}
{{- end -}}
{{- $_ := set $all $key $said -}}
{{- end -}}
{{- end -}}
{{- with merge $all .own -}}{{ toYaml . }}{{- end -}}
{{- end -}}

{{/*
Metadata of an object, except of a pod. Takes "root", "name", "component", and optionally "labels" and
"annotations", both dicts of values by their names, and "ownAnnotations".
*/}}
{{- define "azptend.metadata" -}}
{{- $root := .root -}}
{{- $own := dict "app.kubernetes.io/managed-by" $root.Release.Service
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $own = merge $own (include "azptend.selector" . | fromYaml) -}}
name: {{ .name }}
labels:
  {{- include "azptend.merged" (dict "own" $own "users" (merge (dict "commonLabels" $root.Values.commonLabels) (default dict .labels))) | nindent 2 }}
{{- with include "azptend.merged" (dict "own" (default dict .ownAnnotations) "users" (merge (dict "commonAnnotations" $root.Values.commonAnnotations) (default dict .annotations))) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Labels of a pod; takes "root", "component", "identity", and "labels", as above, and optionally "ownLabels". They
have no version of the chart: a new one must not restart agents whose pods are otherwise the same.
*/}}
{{- define "azptend.podLabels" -}}
{{- $own := merge (include "azptend.selector" . | fromYaml) (default dict .ownLabels) -}}
{{- if eq .identity.type "workloadIdentity" -}}
{{- /* By it Azure's webhook selects the pod. */}}
{{- $own = set $own "azure.workload.identity/use" "true" -}}
{{- end -}}
{{- include "azptend.merged" (dict "own" $own "users" (merge (dict "commonLabels" .root.Values.commonLabels) .labels)) -}}
{{- end -}}
