{{/* Each message says what is wrong, and what to do. */}}

{{- define "azptend.validateNeeded" -}}
{{- $v := .Values -}}
{{- if not $v.organizationURL -}}{{- fail "organizationURL is not set\nhint: use https://dev.azure.com/your-organisation" -}}{{- end -}}
{{- if contains "your-organisation" $v.organizationURL -}}
{{- fail (printf "organizationURL is %q, which is an example that was not replaced\nhint: replace your-organisation with the name of your organisation" $v.organizationURL) -}}
{{- end -}}
{{- if hasSuffix "/" $v.organizationURL -}}
{{- fail (printf "organizationURL is %q: KEDA reads the organisation's name after the last slash, and finds none\nhint: remove the slash at the end" $v.organizationURL) -}}
{{- end -}}
{{/* The same rule as azptend run's (AZP_URL): a test keeps them equal. The message does not repeat a user, password or query. */}}
{{- if regexMatch "[@?#]" $v.organizationURL -}}
{{- fail "organizationURL contains a user, a password, a query or a fragment\nhint: use https://dev.azure.com/your-organisation" -}}
{{- end -}}
{{- if not (regexMatch "^https?://[^/\\s<>$']+(/[^/\\s<>$'_][^/\\s<>$']*)+$" $v.organizationURL) -}}
{{- fail (printf "organizationURL is %q, which is not the URL of an organisation\nhint: use https://dev.azure.com/your-organisation" $v.organizationURL) -}}
{{- end -}}
{{- if regexMatch "(?i)^https?://dev\\.azure\\.com(:[0-9]+)?/[^/]+/" $v.organizationURL -}}
{{- fail (printf "organizationURL is %q, which names more than an organisation\nhint: remove the project and everything after it" $v.organizationURL) -}}
{{- end -}}
{{- if and (regexMatch "(?i)^https?://[^/]+\\.visualstudio\\.com(:[0-9]+)?/" $v.organizationURL) (not (regexMatch "(?i)/defaultcollection$" $v.organizationURL)) -}}
{{- fail (printf "organizationURL is %q, which names more than an organisation\nhint: use https://dev.azure.com/your-organisation" $v.organizationURL) -}}
{{- end -}}
{{- if and $v.pool.name $v.pool.id -}}{{- fail "pool.name and pool.id are both set\nhint: remove one of them: KEDA would use the name" -}}{{- end -}}
{{- if not (or $v.pool.name $v.pool.id) -}}{{- fail "neither pool.name nor pool.id is set" -}}{{- end -}}
{{- if eq (toString $v.pool.name) "your-pool" -}}{{- fail "pool.name is \"your-pool\", which is an example that was not replaced\nhint: set it to the name of your agent pool" -}}{{- end -}}
{{- if not $v.image.repository -}}{{- fail "image.repository is not set\nhint: build an image from deploy/images/debian.Dockerfile: none is published" -}}{{- end -}}
{{- if not (or $v.image.tag $v.image.digest) -}}{{- fail "neither image.tag nor image.digest is set" -}}{{- end -}}
{{- if and $v.keep.enabled $v.keep.image.repository (not (or $v.keep.image.tag $v.keep.image.digest)) -}}
{{- fail "keep.image.repository is set, but neither keep.image.tag nor keep.image.digest" -}}
{{- end -}}
{{- if eq $v.agentRoot.mountPath $v.agentDir -}}
{{- fail (printf "agentRoot.mountPath is %q, like agentDir: the volume would hide the agent package\nhint: use another directory" $v.agentDir) -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "what" the value's name "i" the identity "account" the service account, if the chart annotates one). */}}
{{- define "azptend.validateIdentity" -}}
{{- $i := .i -}}
{{- /* An existing service account has its own annotation. */}}
{{- if and (eq $i.type "workloadIdentity") (not $i.clientId) .account.create -}}{{- fail (printf "%s.clientId is not set\nhint: use the client id of the user-assigned identity: az identity show --query clientId" .what) -}}{{- end -}}
{{- if eq $i.type "servicePrincipal" -}}
{{- if not (and $i.clientId $i.tenantId $i.existingSecret) -}}{{- fail (printf "%s.type is servicePrincipal, but clientId, tenantId or existingSecret is not set" .what) -}}{{- end -}}
{{- end -}}
{{- if and (eq $i.type "pat") (not $i.existingSecret) -}}
{{- fail (printf "%s.type is pat, but %s.existingSecret is not set\nhint: run kubectl create secret generic azp --from-literal=token=… in the namespace of the release, and set %s.existingSecret=azp" .what .what .what) -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateOptions" -}}
{{- $v := .Values -}}
{{- if and (eq $v.identity.type "managedIdentity") $v.networkPolicy.enabled (not $v.networkPolicy.egress) (has "169.254.169.254/32" $v.networkPolicy.blocked) -}}
{{- fail "identity.type is managedIdentity, but networkPolicy.blocked blocks the metadata service that issues its tokens\nhint: use workloadIdentity; or remove 169.254.169.254/32, which lets every job use the node's identities" -}}
{{- end -}}
{{- if and $v.initRegister.enabled (ne $v.kind "scaledJob") -}}
{{- fail (printf "initRegister.enabled is true with kind %s: when the container restarts, its agent is gone, and the init container does not run again\nhint: use kind scaledJob" $v.kind) -}}
{{- end -}}
{{- if and $v.initRegister.enabled (eq $v.identity.type "managedIdentity") -}}
{{- fail "initRegister.enabled is true, but identity.type is managedIdentity, which every container of the pod can use\nhint: use workloadIdentity, servicePrincipal or pat" -}}
{{- end -}}
{{- if and $v.initRegister.enabled (not (and $v.keep.enabled $v.keep.prune)) (not $v.initRegister.keptElsewhere) -}}
{{- fail "initRegister.enabled is true, but nothing would remove the agents: keep.enabled or keep.prune is false\nhint: set both to true, or set initRegister.keptElsewhere if another keeper maintains the pool" -}}
{{- end -}}
{{- if and $v.metrics.podMonitor.enabled (not $v.metrics.enabled) -}}{{- fail "metrics.podMonitor.enabled is true, but metrics.enabled is false\nhint: set metrics.enabled" -}}{{- end -}}
{{- if and $v.keep.serviceMonitor.enabled (not (and $v.keep.enabled $v.keep.token.existingSecret $v.keep.service.enabled)) -}}
{{- fail "keep.serviceMonitor.enabled is true, but there is no Service to scrape\nhint: set keep.enabled, keep.service.enabled and keep.token.existingSecret" -}}
{{- end -}}
{{- if $v.keep.enabled -}}
{{- include "azptend.validateDuration" (dict "what" "keep.interval" "value" $v.keep.interval "least" "5s" "most" "24h") -}}
{{- include "azptend.validateDuration" (dict "what" "keep.olderThan" "value" $v.keep.olderThan "least" "15m" "most" "365d") -}}
{{- end -}}
{{- if and (ne $v.kind "scaledJob") $v.once -}}
{{- fail (printf "once is true with kind %s: Kubernetes would restart a pod after each job, with growing delays\nhint: use kind scaledJob, or remove once" $v.kind) -}}
{{- end -}}
{{- if and (ne $v.kind "scaledJob") $v.idleTimeout (ne $v.idleTimeout "0") -}}
{{- fail (printf "idleTimeout is set with kind %s: Kubernetes would restart a pod that exits\nhint: use kind scaledJob, or remove idleTimeout" $v.kind) -}}
{{- end -}}
{{- if and $v.dind.enabled (kindIs "invalid" $v.podSecurityContext.runAsGroup) -}}
{{- fail "dind.enabled is true, but podSecurityContext.runAsGroup is null: the daemon's socket would belong to no group of the agent\nhint: set runAsGroup" -}}
{{- end -}}
{{- if and $v.podDisruptionBudget.enabled (eq $v.kind "scaledJob") -}}
{{- fail "podDisruptionBudget.enabled is true with kind scaledJob: it would only block the drain of nodes\nhint: remove it: terminationGracePeriodSeconds lets a job finish when its node is drained" -}}
{{- end -}}
{{- end -}}

{{/* A duration in seconds, as azptend reads it: a plain number means seconds. */}}
{{- define "azptend.seconds" -}}
{{- $seconds := 0.0 -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- range $part := regexFindAll "[0-9.]+(ms|s|m|h|d)" (ternary (printf "%ss" .) . (regexMatch "^[0-9]+$" .)) -1 -}}
{{- $seconds = addf $seconds (mulf (float64 (regexFind "^[0-9.]+" $part)) (get $units (regexFind "[a-z]+$" $part))) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/* Takes (dict "what" its name among the values "value" the duration "least" "most" its bounds). The same rule as azptend's: a test keeps them equal. */}}
{{- define "azptend.validateDuration" -}}
{{- $seconds := float64 (include "azptend.seconds" .value) -}}
{{- if lt $seconds (float64 (include "azptend.seconds" .least)) -}}
{{- fail (printf "%s is %q, which is shorter than %s\nhint: a plain number is seconds; write 15m or 3h" .what .value .least) -}}
{{- end -}}
{{- if gt $seconds (float64 (include "azptend.seconds" .most)) -}}
{{- fail (printf "%s is %q, which is longer than %s" .what .value .most) -}}
{{- end -}}
{{- end -}}

{{/* Items of lists that Kubernetes merges by a key: with server-side apply it refuses a key twice. */}}
{{- define "azptend.validateLists" -}}
{{- $v := .Values -}}
{{- include "azptend.validateUnique" (dict "what" "extraVolumes" "key" "name" "own" (list "agent-root" "home" "tmp" "registered" "dind-run" "dind-storage" "ca-certificates") "users" $v.extraVolumes) -}}
{{- include "azptend.validateUnique" (dict "what" "extraContainers and extraInitContainers" "key" "name" "own" (list "agent" "register" "dind") "users" (concat $v.extraContainers $v.extraInitContainers)) -}}
{{- include "azptend.validateUnique" (dict "what" "imagePullSecrets" "key" "name" "own" list "users" $v.imagePullSecrets) -}}
{{- $paths := list $v.agentRoot.mountPath $v.home.mountPath "/tmp" "/run/dind" "/etc/azptend/ca" -}}
{{- if $v.initRegister.enabled -}}{{- $paths = append $paths $v.initRegister.mountPath -}}{{- end -}}
{{- if ne (len $paths) (len (uniq $paths)) -}}
{{- fail (printf "agentRoot.mountPath, home.mountPath and initRegister.mountPath are %s, %s and %s: they must differ from each other and from /tmp" $v.agentRoot.mountPath $v.home.mountPath $v.initRegister.mountPath) -}}
{{- end -}}
{{- include "azptend.validateUnique" (dict "what" "extraVolumeMounts" "key" "mountPath" "own" $paths "users" $v.extraVolumeMounts) -}}
{{- end -}}

{{- define "azptend.validateUnique" -}}
{{- $seen := .own -}}
{{- range .users -}}
{{- $name := get . $.key -}}
{{- if has $name $.own -}}{{- fail (printf "%s has %q, which the chart uses itself\nhint: choose another %s" $.what $name $.key) -}}{{- end -}}
{{- if has $name $seen -}}{{- fail (printf "%s has %q twice" $.what $name) -}}{{- end -}}
{{- $seen = append $seen $name -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateNetwork" -}}
{{- $v := .Values -}}
{{- if and $v.proxy.url $v.proxy.existingSecret -}}{{- fail "proxy.url and proxy.existingSecret are both set\nhint: remove one of them; the Secret has the whole URL" -}}{{- end -}}
{{- if and $v.proxy.noProxy (not (or $v.proxy.url $v.proxy.existingSecret)) -}}{{- fail "proxy.noProxy is set, but proxy.url and proxy.existingSecret are not\nhint: set one of them" -}}{{- end -}}
{{- if and $v.caCertificates.configMap $v.caCertificates.secret -}}{{- fail "caCertificates.configMap and caCertificates.secret are both set\nhint: remove one of them" -}}{{- end -}}
{{- if and $v.keep.ingress.enabled (not (and $v.keep.enabled $v.keep.token.existingSecret $v.keep.service.enabled)) -}}
{{- fail "keep.ingress.enabled is true, but the keeper's page has no Service\nhint: set keep.enabled, keep.service.enabled and keep.token.existingSecret" -}}
{{- end -}}
{{- if and $v.keep.ingress.enabled (not $v.keep.ingress.hosts) -}}{{- fail "keep.ingress.enabled is true, but keep.ingress.hosts is empty\nhint: set it to the host names of the page" -}}{{- end -}}
{{- if eq (int $v.keep.port) (int $v.keep.healthPort) -}}{{- fail "keep.port and keep.healthPort are the same\nhint: use two ports" -}}{{- end -}}
{{- end -}}
