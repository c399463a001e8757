{{/* The agents' pod; takes the root and its restartPolicy. */}}
{{- define "azptend.podTemplate" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "azptend.labels" (dict "root" $root "component" "agent") | nindent 4 }}
    {{- with include "azptend.identityLabels" $v.identity }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: agent
    # Autoscalers must not move an agent with a job.
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
    {{- if and $v.initRegister.enabled (eq $v.identity.type "workloadIdentity") }}
    # The webhook mounts the token into every container except these.
    azure.workload.identity/skip-containers: {{ include "azptend.withoutIdentity" $root | quote }}
    {{- else if and $v.dind.enabled (eq $v.identity.type "workloadIdentity") }}
    azure.workload.identity/skip-containers: dind
    {{- end }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "azptend.podSpec" . | nindent 2 }}
  {{- with $v.podSpec }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The containers without a projected token, separated by semicolons as the webhook reads them. */}}
{{- define "azptend.withoutIdentity" -}}
{{- $names := list "agent" -}}
{{- if .Values.dind.enabled -}}{{- $names = append $names "dind" -}}{{- end -}}
{{- range concat .Values.extraContainers .Values.extraInitContainers -}}{{- $names = append $names .name -}}{{- end -}}
{{- join ";" $names -}}
{{- end -}}

{{- define "azptend.podSpec" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
restartPolicy: {{ .restartPolicy }}
serviceAccountName: {{ include "azptend.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml $v.podSecurityContext | nindent 2 }}
{{- with $v.imagePullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- if or $v.initRegister.enabled $v.dind.enabled $v.extraInitContainers }}
initContainers:
{{- with $v.extraInitContainers }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- if $v.dind.enabled }}
{{- include "azptend.dindContainer" $root | nindent 0 }}
{{- end }}
{{- if $v.initRegister.enabled }}
{{- /* Last: if another init container fails, no agent is in the pool. */}}
{{- include "azptend.registerContainer" $root | nindent 0 }}
{{- end }}
{{- end }}
containers:
{{- include "azptend.agentContainer" $root | nindent 0 }}
{{- with $v.extraContainers }}
{{- toYaml . | nindent 0 }}
{{- end }}
volumes:
{{- if not (include "azptend.hasRootClaim" $root) }}
- name: agent-root
  {{- toYaml (default (dict "emptyDir" dict) $v.agentRoot.volume) | nindent 2 }}
{{- end }}
- name: home
  {{- toYaml (default (dict "emptyDir" dict) $v.home.volume) | nindent 2 }}
- name: tmp
  {{- toYaml (default (dict "emptyDir" dict) $v.tmp.volume) | nindent 2 }}
{{- if $v.initRegister.enabled }}
- name: registered
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- end }}
{{- if $v.dind.enabled }}
- name: dind-run
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
- name: dind-storage
  {{- toYaml (default (dict "emptyDir" dict) $v.dind.storage.volume) | nindent 2 }}
{{- end }}
{{- with $v.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- include "azptend.scheduling" $v -}}
{{- end -}}

{{/* "true" if the root is from a claim template, not from a volume. */}}
{{- define "azptend.hasRootClaim" -}}
{{- if eq .Values.kind "statefulSet" -}}
{{- range .Values.statefulSet.volumeClaimTemplates -}}{{- if eq .metadata.name "agent-root" -}}true{{- end -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Scheduling of a pod, from the agents' values or the keeper's. */}}
{{- define "azptend.scheduling" -}}
{{- $v := . -}}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with get $v $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- range $field := list "priorityClassName" "runtimeClassName" }}
{{- with get $v $field }}
{{ $field }}: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
