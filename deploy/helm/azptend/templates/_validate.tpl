{{/* Each message says what is wrong, and what to do. */}}

{{- define "azptend.validateNeeded" -}}
{{- $v := .Values -}}
{{- if not $v.organizationURL -}}{{- fail "organizationURL is not set\nhint: it looks like https://dev.azure.com/your-organisation" -}}{{- end -}}
{{- if hasSuffix "/" $v.organizationURL -}}
{{- fail (printf "organizationURL is %q: KEDA takes what comes after the last slash for the organisation's name, and finds none\nhint: leave out the slash at its end" $v.organizationURL) -}}
{{- end -}}
{{/* The same rule as azptend run's (AZP_URL): a test holds them together. A user, password or query is not repeated. */}}
{{- if regexMatch "[@?#]" $v.organizationURL -}}
{{- fail "organizationURL holds a user, a password, a query or a fragment\nhint: it looks like https://dev.azure.com/your-organisation" -}}
{{- end -}}
{{- if not (regexMatch "^https?://[^/\\s<>$']+(/[^/\\s<>$'_][^/\\s<>$']*)+$" $v.organizationURL) -}}
{{- fail (printf "organizationURL is %q, which is no organisation's address\nhint: it looks like https://dev.azure.com/your-organisation" $v.organizationURL) -}}
{{- end -}}
{{- if regexMatch "(?i)^https?://dev\\.azure\\.com(:[0-9]+)?/[^/]+/" $v.organizationURL -}}
{{- fail (printf "organizationURL is %q, which names more than an organisation\nhint: leave out the project and what follows it" $v.organizationURL) -}}
{{- end -}}
{{- if and (regexMatch "(?i)^https?://[^/]+\\.visualstudio\\.com(:[0-9]+)?/" $v.organizationURL) (not (regexMatch "(?i)/defaultcollection$" $v.organizationURL)) -}}
{{- fail (printf "organizationURL is %q, which names more than an organisation\nhint: use https://dev.azure.com/your-organisation" $v.organizationURL) -}}
{{- end -}}
{{- if and $v.pool.name $v.pool.id -}}{{- fail "pool.name and pool.id are both set\nhint: KEDA would take the name; leave one of them out" -}}{{- end -}}
{{- if not (or $v.pool.name $v.pool.id) -}}{{- fail "neither pool.name nor pool.id is set" -}}{{- end -}}
{{- if not $v.image.repository -}}{{- fail "image.repository is not set\nhint: there is no published image: build deploy/images/debian.Dockerfile with the agent you want" -}}{{- end -}}
{{- if not (or $v.image.tag $v.image.digest) -}}{{- fail "neither image.tag nor image.digest is set" -}}{{- end -}}
{{- if and $v.keep.enabled $v.keep.image.repository (not (or $v.keep.image.tag $v.keep.image.digest)) -}}
{{- fail "keep.image.repository is set, and neither keep.image.tag nor keep.image.digest" -}}
{{- end -}}
{{- if eq $v.agentRoot.mountPath $v.agentDir -}}
{{- fail (printf "agentRoot.mountPath is %q as agentDir: the volume would hide the agent package\nhint: use any other directory" $v.agentDir) -}}
{{- end -}}
{{- end -}}

{{/* Of (dict "what" its name among the values "i" the identity). */}}
{{- define "azptend.validateIdentity" -}}
{{- $i := .i -}}
{{- if and (eq $i.type "workloadIdentity") (not $i.clientId) -}}{{- fail (printf "%s.clientId is not set\nhint: the client id of the user-assigned identity: az identity show --query clientId" .what) -}}{{- end -}}
{{- if eq $i.type "servicePrincipal" -}}
{{- if not (and $i.clientId $i.tenantId $i.existingSecret) -}}{{- fail (printf "%s.type is servicePrincipal, and clientId, tenantId or existingSecret is not set" .what) -}}{{- end -}}
{{- end -}}
{{- if and (eq $i.type "pat") (not $i.existingSecret) -}}
{{- fail (printf "%s.type is pat, and %s.existingSecret is not set\nhint: kubectl create secret generic azp --from-file=token=FILE" .what .what) -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateOptions" -}}
{{- $v := .Values -}}
{{- if and (eq $v.identity.type "managedIdentity") $v.networkPolicy.enabled (not $v.networkPolicy.egress) (has "169.254.169.254/32" $v.networkPolicy.blocked) -}}
{{- fail "identity.type is managedIdentity, and networkPolicy.blocked closes the metadata service that it comes from\nhint: workloadIdentity; or leave 169.254.169.254/32 out, and every job can have the node's identities" -}}
{{- end -}}
{{- if and $v.initRegister.enabled (ne $v.kind "scaledJob") -}}
{{- fail (printf "initRegister.enabled is true with kind %s: a container that starts again would find its agent removed, and an init container does not run again for it\nhint: kind scaledJob" $v.kind) -}}
{{- end -}}
{{- if and $v.initRegister.enabled (eq $v.identity.type "managedIdentity") -}}
{{- fail "initRegister.enabled is true, and identity.type is managedIdentity, which every container of the pod can ask for\nhint: workloadIdentity, servicePrincipal or pat" -}}
{{- end -}}
{{- if and $v.initRegister.enabled (not (and $v.keep.enabled $v.keep.prune)) (not $v.initRegister.keptElsewhere) -}}
{{- fail "initRegister.enabled is true, and nobody would remove the agents: keep.enabled or keep.prune is false\nhint: set them, or initRegister.keptElsewhere if another keeper looks after the pool" -}}
{{- end -}}
{{- if and $v.metrics.podMonitor.enabled (not $v.metrics.enabled) -}}{{- fail "metrics.podMonitor.enabled is true, and metrics.enabled is false" -}}{{- end -}}
{{- if and $v.keep.serviceMonitor.enabled (not (and $v.keep.enabled $v.keep.token.existingSecret $v.keep.service.enabled)) -}}
{{- fail "keep.serviceMonitor.enabled is true, and there is no Service to ask\nhint: it needs keep.enabled, keep.service.enabled and keep.token.existingSecret" -}}
{{- end -}}
{{- if $v.keep.enabled -}}
{{- include "azptend.validateDuration" (dict "what" "keep.interval" "value" $v.keep.interval "least" "5s" "most" "24h") -}}
{{- include "azptend.validateDuration" (dict "what" "keep.olderThan" "value" $v.keep.olderThan "least" "15m" "most" "365d") -}}
{{- end -}}
{{- if and $v.podDisruptionBudget.enabled (eq $v.kind "scaledJob") -}}
{{- fail "podDisruptionBudget.enabled is true with kind scaledJob: it would only keep nodes from being drained\nhint: terminationGracePeriodSeconds lets a job end when its node goes" -}}
{{- end -}}
{{- end -}}

{{/* The seconds of a duration, as azptend reads it: a plain number is seconds. */}}
{{- define "azptend.seconds" -}}
{{- $seconds := 0.0 -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- range $part := regexFindAll "[0-9.]+(ms|s|m|h|d)" (ternary (printf "%ss" .) . (regexMatch "^[0-9]+$" .)) -1 -}}
{{- $seconds = addf $seconds (mulf (float64 (regexFind "^[0-9.]+" $part)) (get $units (regexFind "[a-z]+$" $part))) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/* Of (dict "what" its name among the values "value" the duration "least" "most" its bounds). The same rule as azptend's: a test holds them together. */}}
{{- define "azptend.validateDuration" -}}
{{- $seconds := float64 (include "azptend.seconds" .value) -}}
{{- if lt $seconds (float64 (include "azptend.seconds" .least)) -}}
{{- fail (printf "%s is %q, which is shorter than %s\nhint: a plain number is seconds; write 15m or 3h" .what .value .least) -}}
{{- end -}}
{{- if gt $seconds (float64 (include "azptend.seconds" .most)) -}}
{{- fail (printf "%s is %q, which is longer than %s" .what .value .most) -}}
{{- end -}}
{{- end -}}

{{/* What the chart sets from a value is not set once more, and no secret is a value. */}}
{{- define "azptend.validateEnv" -}}
{{- $by := fromYaml (include "azptend.envByValue" .) -}}
{{- range $env := concat .Values.extraEnv .Values.initRegister.extraEnv .Values.keep.extraEnv -}}
{{- if and (has $env.name (list "AZP_TOKEN" "AZP_CLIENTSECRET" "AZP_KEEP_TOKEN")) (hasKey $env "value") -}}
{{- fail (printf "%s is set to a value among the variables, where everybody can read it who may see the release\nhint: identity.existingSecret, or valueFrom.secretKeyRef" $env.name) -}}
{{- end -}}
{{- with get $by $env.name -}}{{- fail (printf "%s is set among the variables, and the chart sets it too\nhint: set the value %s" $env.name .) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azptend.envByValue" -}}
AZP_URL: organizationURL
AZP_POOL: pool.name
AZP_POOL_ID: pool.id
AZP_LOG_FORMAT: log.format
AZP_LOG_LEVEL: log.level
AZP_AUTH: identity.type
AZP_CAPABILITIES: capabilities
AZP_AGENT_DIR: agentDir
AZP_AGENT_ROOT: agentRoot.mountPath
HOME: home.mountPath
AZP_GRACE_PERIOD: terminationGracePeriodSeconds
AZP_UPDATE: update
AZP_ONCE: once
AZP_IDLE_TIMEOUT: idleTimeout
AZP_REPLICA_TIMEOUT: scaledJob.activeDeadlineSeconds
AZP_JOB_MAX: scaledJob.jobMaxSeconds
AZP_HEALTH_ADDR: metrics.port
AZP_REGISTERED: initRegister.enabled
AZP_KEEP_LISTEN: keep.port
AZP_KEEP_INTERVAL: keep.interval
AZP_KEEP_PRUNE: keep.prune
AZP_KEEP_OLDER_THAN: keep.olderThan
AZP_KEEP_ANY_OWNER: keep.anyOwner
AZP_KEEP_MATCH: keep.match
AZP_KEEP_PLACEHOLDER: keep.placeholder.enabled
{{- end -}}
