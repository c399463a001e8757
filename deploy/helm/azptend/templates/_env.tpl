{{/*
The variables of a container, each name once: with server-side apply, Kubernetes refuses a name twice.
Takes (dict "own" the chart's, as YAML "name" the name of the user's value "users" that value).
*/}}
{{- define "azptend.env" -}}
{{- $hints := include "azptend.envHints" . | fromYaml -}}
{{- $seen := dict -}}
{{- $own := fromYamlArray .own -}}
{{- range $own -}}{{- $_ := set $seen .name true -}}{{- end -}}
{{- range $one := .users -}}
{{- $hint := get $hints $one.name -}}
{{- if and (has $one.name (list "AZP_TOKEN" "AZP_CLIENTSECRET" "AZP_KEEP_TOKEN" "AZP_KEEP_SCALE_TOKEN")) (hasKey $one "value") -}}
{{- fail (printf "%s has %s with a plain value, which everybody can read who can view the release\nhint: use identity.existingSecret, or valueFrom.secretKeyRef" $.name $one.name) -}}
{{- else if and $hint (or (hasKey $seen $one.name) $hint.always) -}}
{{- fail (printf "%s has %s, which the chart sets itself\nhint: %s" $.name $one.name $hint.say) -}}
{{- else if hasKey $seen $one.name -}}
{{- fail (printf "%s has %s twice\nhint: remove one of them" $.name $one.name) -}}
{{- end -}}
{{- $_ := set $seen $one.name true -}}
{{- end -}}
{{- toYaml (concat $own .users) -}}
{{- end -}}

{{/*
What to do instead of setting a variable of the chart. With always, the chart refuses it even if the values at
hand do not set it: there is a value for it.
*/}}
{{- define "azptend.envHints" -}}
AZP_URL: {say: set the value organizationURL, always: true}
AZP_POOL: {say: set the value pool.name, always: true}
AZP_POOL_ID: {say: set the value pool.id, always: true}
AZP_LOG_FORMAT: {say: set the value log.format, always: true}
AZP_LOG_LEVEL: {say: set the value log.level, always: true}
AZP_AUTH: {say: set the value identity.type, always: true}
AZP_CAPABILITIES: {say: set the value capabilities, always: true}
AZP_AGENT_DIR: {say: set the value agentDir, always: true}
AZP_AGENT_ROOT: {say: set the value agentRoot.mountPath, always: true}
HOME: {say: set the value home.mountPath, always: true}
AZP_GRACE_PERIOD: {say: set the value terminationGracePeriodSeconds, always: true}
AZP_UPDATE: {say: set the value update, always: true}
AZP_ONCE: {say: set the value once, always: true}
AZP_IDLE_TIMEOUT: {say: set the value idleTimeout, always: true}
AZP_REPLICA_TIMEOUT: {say: set the value scaledJob.activeDeadlineSeconds, always: true}
AZP_JOB_MAX: {say: set the value scaledJob.jobMaxSeconds, always: true}
AZP_HEALTH_ADDR: {say: set the value metrics.port, always: true}
AZP_REGISTERED: {say: set the value initRegister.enabled, always: true}
AZP_PROXY: {say: set the value proxy.url, always: true}
AZP_CA_FILE: {say: set the value caCertificates, always: true}
AZP_KEEP_LISTEN: {say: set the value keep.port, always: true}
AZP_KEEP_HEALTH_LISTEN: {say: set the value keep.healthPort, always: true}
AZP_KEEP_INTERVAL: {say: set the value keep.interval, always: true}
AZP_KEEP_PRUNE: {say: set the value keep.prune, always: true}
AZP_KEEP_OLDER_THAN: {say: set the value keep.olderThan, always: true}
AZP_KEEP_ANY_OWNER: {say: set the value keep.anyOwner, always: true}
AZP_KEEP_MATCH: {say: set the value keep.match, always: true}
AZP_KEEP_PLACEHOLDER: {say: set the value keep.placeholder.enabled, always: true}
AZP_KEEP_GROUPS_FILE: {say: set the value keep.groups, always: true}
AZP_GROUP: {say: set the value keda.group}
AZP_AGENT_NAME: {say: "an agent must have the name of its pod, which is unique; set fullnameOverride to change it, or keep.placeholder.name for the placeholder", always: true}
AZP_KEEP_TOKEN: {say: set the value keep.token.existingSecret}
AZP_KEEP_SCALE_TOKEN: {say: set the value keep.scaleToken.existingSecret}
AZP_TOKEN: {say: set the value identity.existingSecret}
AZP_CLIENTID: {say: set the value identity.clientId}
AZP_CLIENTSECRET: {say: set the value identity.existingSecret}
AZP_TENANTID: {say: set the value identity.tenantId}
USRMI_ID: {say: set the value identity.clientId}
DOCKER_HOST: {say: jobs need the socket of the daemon in the pod; set dind.enabled to false to use another daemon}
HTTP_PROXY: {say: set the value proxy}
HTTPS_PROXY: {say: set the value proxy}
NO_PROXY: {say: set the value proxy.noProxy}
http_proxy: {say: set the value proxy}
https_proxy: {say: set the value proxy}
no_proxy: {say: set the value proxy.noProxy}
SSL_CERT_FILE: {say: set the value caCertificates}
{{- end -}}

{{/* true if the agent exits after one job, otherwise false. */}}
{{- define "azptend.once" -}}
{{- if eq .Values.kind "scaledJob" -}}{{ ne (toString .Values.once) "false" }}{{- else -}}false{{- end -}}
{{- end -}}

{{/* Name and capabilities of the agent: for run, and for register. */}}
{{- define "azptend.registrationEnv" -}}
{{ include "azptend.connectionEnv" . }}
{{ include "azptend.poolEnv" . }}
- {name: AZP_AGENT_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- if and (eq .Values.kind "scaledJob") .Values.keda.group }}
- {name: AZP_GROUP, value: {{ .Values.keda.group | quote }}}
{{- end }}
{{- with .Values.capabilities }}
- {name: AZP_CAPABILITIES, value: {{ include "azptend.capabilities" (dict "name" "capabilities" "value" .) | quote }}}
{{- end }}
{{- with include "azptend.identityEnv" .Values.identity }}
{{ . }}
{{- end }}
{{- end -}}

{{/* Where the agent runs, and when it exits. */}}
{{- define "azptend.agentEnv" -}}
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

{{/* The variables of every azptend: the organisation, the log, and the network. */}}
{{- define "azptend.connectionEnv" -}}
- {name: AZP_URL, value: {{ .Values.organizationURL | quote }}}
{{ include "azptend.logEnv" . }}
{{- with include "azptend.networkEnv" (dict "root" . "caVariable" "AZP_CA_FILE") }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "azptend.logEnv" -}}
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

{{/* Capabilities as AZP_CAPABILITIES; takes (dict "name" its name among the values "value" .). A comma in a value is escaped. */}}
{{- define "azptend.capabilities" -}}
{{- $pairs := list -}}
{{- range $name, $value := .value -}}
{{- $value = toString $value -}}
{{- if hasPrefix "azptend." (lower $name) -}}{{- fail (printf "%s has %q: names that begin with azptend. are azptend's own" $.name $name) -}}{{- end -}}
{{- if hasSuffix "\\" $value -}}{{- fail (printf "%s has %q with a backslash at the end, which would escape the comma after it" $.name $name) -}}{{- end -}}
{{- $pairs = append $pairs (printf "%s=%s" $name (replace "," "\\," $value)) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}
