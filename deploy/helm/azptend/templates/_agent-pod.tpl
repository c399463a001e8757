{{/* The agents' pod; takes the root and its restartPolicy. */}}
{{- define "azptend.podTemplate" -}}
{{- $v := .root.Values -}}
metadata:
  labels:
    {{- include "azptend.podLabels" (dict "root" .root "component" "agent" "identity" $v.identity "labels" (dict "podLabels" $v.podLabels)) | nindent 4 }}
  annotations:
    {{- include "azptend.podAnnotations" .root | nindent 4 }}
spec:
  {{- include "azptend.podSpec" (dict "root" .root "restartPolicy" .restartPolicy "containers" (include "azptend.podContainers" .root) "volumes" (include "azptend.podVolumes" .root)) | nindent 2 }}
{{- end -}}

{{/* Spec of the agents' pods and of the test's; takes the root, restartPolicy, containers and volumes. */}}
{{- define "azptend.podSpec" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
restartPolicy: {{ .restartPolicy }}
serviceAccountName: {{ include "azptend.serviceAccount" $root }}
automountServiceAccountToken: {{ $v.serviceAccount.automount }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml $v.podSecurityContext | nindent 2 }}
{{- range $field := list "imagePullSecrets" "hostAliases" }}
{{- with get $v $field }}
{{ $field }}:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
{{ .containers }}
volumes:
- name: home
  {{- toYaml (default (dict "emptyDir" dict) $v.home.volume) | nindent 2 }}
- name: tmp
  {{- toYaml (default (dict "emptyDir" dict) $v.tmp.volume) | nindent 2 }}
{{- with include "azptend.caVolume" $root }}
{{ . }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- with .volumes }}
{{ . }}
{{- end }}
{{- include "azptend.scheduling" $v }}
{{- with $v.podSpec }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A user may let autoscalers move an agent with a job, but not give the identity to containers that must not have it. */}}
{{- define "azptend.podAnnotations" -}}
{{- $v := .Values -}}
{{- $defaults := dict "kubectl.kubernetes.io/default-container" "agent"
  "cluster-autoscaler.kubernetes.io/safe-to-evict" "false"
  "karpenter.sh/do-not-disrupt" "true" -}}
{{- $own := dict -}}
{{- if eq $v.identity.type "workloadIdentity" -}}
{{- /* The webhook mounts the token into every container except these. */}}
{{- if $v.initRegister.enabled -}}
{{- $own = dict "azure.workload.identity/skip-containers" (include "azptend.withoutIdentity" .) -}}
{{- else if $v.dind.enabled -}}
{{- $own = dict "azure.workload.identity/skip-containers" "dind" -}}
{{- end -}}
{{- end -}}
{{- include "azptend.merged" (dict "own" $own "users" (dict "podAnnotations" (merge dict $v.podAnnotations $defaults))) -}}
{{- end -}}

{{/* The containers without a projected token, separated by semicolons as the webhook reads them. */}}
{{- define "azptend.withoutIdentity" -}}
{{- $names := list "agent" -}}
{{- if .Values.dind.enabled -}}{{- $names = append $names "dind" -}}{{- end -}}
{{- range concat .Values.extraContainers .Values.extraInitContainers -}}{{- $names = append $names .name -}}{{- end -}}
{{- join ";" $names -}}
{{- end -}}

{{- define "azptend.podContainers" -}}
{{- $v := .Values -}}
{{- if or $v.initRegister.enabled $v.dind.enabled $v.extraInitContainers -}}
initContainers:
{{- with $v.extraInitContainers }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- if $v.dind.enabled }}
{{- include "azptend.dindContainer" . | nindent 0 }}
{{- end }}
{{- if $v.initRegister.enabled }}
{{- /* Last: if another init container fails, no agent is in the pool. */}}
{{- include "azptend.registerContainer" . | nindent 0 }}
{{- end }}
{{ end -}}
containers:
{{- include "azptend.agentContainer" . | nindent 0 }}
{{- with $v.extraContainers }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* The volumes that the test has not, or has not like this. */}}
{{- define "azptend.podVolumes" -}}
{{- $v := .Values -}}
{{- $volumes := list -}}
{{- if not (include "azptend.hasRootClaim" .) -}}
{{- $volumes = append $volumes (merge (dict "name" "agent-root") (default (dict "emptyDir" dict) $v.agentRoot.volume)) -}}
{{- end -}}
{{- $small := dict "emptyDir" (dict "medium" "Memory" "sizeLimit" "16Mi") -}}
{{- if $v.initRegister.enabled -}}
{{- $volumes = append $volumes (merge (dict "name" "registered") $small) -}}
{{- end -}}
{{- if $v.dind.enabled -}}
{{- $volumes = append $volumes (merge (dict "name" "dind-run") $small) -}}
{{- $volumes = append $volumes (merge (dict "name" "dind-storage") (default (dict "emptyDir" dict) $v.dind.storage.volume)) -}}
{{- end -}}
{{- with $volumes -}}{{ toYaml . }}{{- end -}}
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
