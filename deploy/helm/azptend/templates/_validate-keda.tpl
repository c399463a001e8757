{{/* Checks that the strategy fits what KEDA counts: see azptend.kedaStrategy. */}}
{{- define "azptend.validatePairing" -}}
{{- $k := .Values.keda -}}
{{- if not $k.version -}}
{{- fail "keda.version is not set: what KEDA counts depends on it\nhint: use the output of kubectl get deployment -n keda keda-operator -o jsonpath='{.metadata.labels.app\\.kubernetes\\.io/version}'" -}}
{{- end -}}
{{- $version := include "azptend.kedaVersion" . -}}
{{- if not (has $version (list "2.19" "2.20" "2.21")) -}}
{{- fail (printf "keda.version is %q, but this chart supports only 2.19, 2.20 and 2.21\nhint: for a later version, read about its azure-pipelines scaler; if that counts jobs like 2.21, set 2.21" $k.version) -}}
{{- end -}}
{{- $inFlight := kindIs "bool" $k.scaleOnInFlight -}}
{{- if and $inFlight (ne $version "2.21") -}}
{{- fail (printf "keda.scaleOnInFlight is set, which KEDA %s does not support: 2.21 added it\nhint: remove it" $version) -}}
{{- end -}}
{{- if and (eq $version "2.19") (eq $k.strategy "accurate") -}}
{{- fail "keda.strategy is accurate with KEDA 2.19, which counts running jobs: each poll would start another agent for each of them, up to maxReplicaCount\nhint: use default, or remove it" -}}
{{- end -}}
{{- if and (eq $version "2.20") (eq $k.strategy "default") -}}
{{- fail "keda.strategy is default with KEDA 2.20, which does not count running jobs: while jobs run, the same number of others would wait (kedacore/keda#7878)\nhint: use accurate, or remove it" -}}
{{- end -}}
{{- if and $inFlight (eq $k.strategy "default") (not $k.scaleOnInFlight) -}}
{{- fail "keda.strategy is default and keda.scaleOnInFlight is false: while jobs run, the same number of others would wait (kedacore/keda#7878)\nhint: remove one of them" -}}
{{- end -}}
{{- if and $inFlight (eq $k.strategy "accurate") $k.scaleOnInFlight -}}
{{- fail "keda.strategy is accurate and keda.scaleOnInFlight is true: each poll would start another agent for each running job, up to maxReplicaCount\nhint: remove one of them" -}}
{{- end -}}
{{- if and (eq (include "azptend.kedaStrategy" .) "accurate") (not .Values.readinessProbe) -}}
{{- fail "readinessProbe is null, but strategy accurate needs it: KEDA could not see which agents are still starting\nhint: do not set readinessProbe" -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateTrigger" -}}
{{- $k := .Values.keda -}}
{{- range $k.demands -}}
{{- if or (ne . (trim .)) (contains "," .) (not .) -}}
{{- fail (printf "keda.demands has %q: KEDA does not trim spaces, so it would match nothing\nhint: write one demand per item, without commas, and without spaces around it" .) -}}
{{- end -}}
{{- end -}}
{{- if and $k.parent $k.demands -}}{{- fail "keda.parent and keda.demands are both set\nhint: remove one of them: KEDA would ignore demands" -}}{{- end -}}
{{- range $field := list "requireAllDemands" "requireAllDemandsAndIgnoreOthers" "caseInsensitiveDemandsProcessing" -}}
{{- if and (get $k $field) (not $k.demands) -}}{{- fail (printf "keda.%s is true, but keda.demands is empty" $field) -}}{{- end -}}
{{- end -}}
{{- if and $k.requireAllDemands $k.requireAllDemandsAndIgnoreOthers -}}{{- fail "keda.requireAllDemands and keda.requireAllDemandsAndIgnoreOthers are both true\nhint: remove one of them" -}}{{- end -}}
{{- if and $k.jobsToFetch $k.fetchUnfinishedJobsOnly -}}
{{- fail "keda.jobsToFetch and keda.fetchUnfinishedJobsOnly are both set, which KEDA refuses\nhint: set fetchUnfinishedJobsOnly to false, or better, remove jobsToFetch" -}}
{{- end -}}
{{- if and $k.jobsToFetch $k.parent -}}
{{- fail "keda.jobsToFetch and keda.parent are both set, which KEDA refuses: the server names the matching agents only if the request has no number of jobs\nhint: remove jobsToFetch" -}}
{{- end -}}
{{- if gt (int64 $k.minReplicaCount) (include "azptend.maxReplicaCount" . | int64) -}}{{- fail "keda.minReplicaCount is more than keda.maxReplicaCount" -}}{{- end -}}
{{- end -}}

{{- define "azptend.validateScaler" -}}
{{- $k := .Values.keda -}}
{{- $i := $k.identity -}}
{{- if not $k.authenticationRef.name -}}
{{- if and (eq $i.type "servicePrincipal") (ne (include "azptend.kedaVersion" .) "2.21") -}}
{{- fail (printf "keda.identity.type is servicePrincipal, which KEDA %s does not support: 2.21 added it\nhint: use workloadIdentity or pat" (include "azptend.kedaVersion" .)) -}}
{{- end -}}
{{- if ne $i.type "workloadIdentity" -}}{{- include "azptend.validateIdentity" (dict "what" "keda.identity" "i" $i "account" dict) -}}{{- end -}}
{{- if and (eq $i.type "workloadIdentity") $i.tenantId (not $i.clientId) -}}{{- fail "keda.identity.tenantId is set, but KEDA uses it only with clientId" -}}{{- end -}}
{{- if and $i.authorityHost (not $i.tenantId) -}}{{- fail "keda.identity.authorityHost is set, but KEDA uses it only with tenantId" -}}{{- end -}}
{{- if and $i.activeDirectoryEndpoint (ne $i.cloud "Private") -}}{{- fail "keda.identity.activeDirectoryEndpoint is set, but KEDA uses it only with cloud Private" -}}{{- end -}}
{{- if and (eq $i.cloud "Private") (not $i.activeDirectoryEndpoint) -}}{{- fail "keda.identity.cloud is Private, but activeDirectoryEndpoint is not set" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateLimits" -}}
{{- $s := .Values.scaledJob -}}
{{- if $s.activeDeadlineSeconds -}}
{{- $needed := add (int64 $s.jobMaxSeconds) (int64 .Values.terminationGracePeriodSeconds) -}}
{{- if le (int64 $s.activeDeadlineSeconds) $needed -}}
{{- fail (printf "scaledJob.activeDeadlineSeconds is %d, which is too short for a job of %d (scaledJob.jobMaxSeconds) and a grace period of %d (terminationGracePeriodSeconds)\nhint: use more than %d, or 0 for no deadline" (int64 $s.activeDeadlineSeconds) (int64 $s.jobMaxSeconds) (int64 .Values.terminationGracePeriodSeconds) $needed) -}}
{{- end -}}
{{- end -}}
{{- end -}}
