{{/* Which strategy goes with what is counted: see azptend.kedaStrategy. */}}
{{- define "azptend.validatePairing" -}}
{{- $k := .Values.keda -}}
{{- if not $k.version -}}
{{- fail "keda.version is not set: what KEDA counts has changed twice\nhint: kubectl get deployment -n keda keda-operator -o jsonpath='{.metadata.labels.app\\.kubernetes\\.io/version}'" -}}
{{- end -}}
{{- $version := include "azptend.kedaVersion" . -}}
{{- if not (has $version (list "2.19" "2.20" "2.21")) -}}
{{- fail (printf "keda.version is %q: this chart knows what 2.19, 2.20 and 2.21 count\nhint: of a later one see its azure-pipelines page; where it counts as 2.21 does, say 2.21" $k.version) -}}
{{- end -}}
{{- $inFlight := kindIs "bool" $k.scaleOnInFlight -}}
{{- if and $inFlight (ne $version "2.21") -}}
{{- fail (printf "keda.scaleOnInFlight is set, which KEDA %s does not know: it came with 2.21\nhint: leave it out" $version) -}}
{{- end -}}
{{- if and (eq $version "2.19") (eq $k.strategy "accurate") -}}
{{- fail "keda.strategy is accurate with KEDA 2.19, which counts the jobs that run already: each poll would start another agent for each of them, up to maxReplicaCount\nhint: default, or leave it out" -}}
{{- end -}}
{{- if and (eq $version "2.20") (eq $k.strategy "default") -}}
{{- fail "keda.strategy is default with KEDA 2.20, which does not count the jobs that run already: as long as jobs run, as many others would wait (kedacore/keda#7878)\nhint: accurate, or leave it out" -}}
{{- end -}}
{{- if and $inFlight (eq $k.strategy "default") (not $k.scaleOnInFlight) -}}
{{- fail "keda.strategy is default and keda.scaleOnInFlight is false: as long as jobs run, as many others would wait (kedacore/keda#7878)\nhint: leave out one of them" -}}
{{- end -}}
{{- if and $inFlight (eq $k.strategy "accurate") $k.scaleOnInFlight -}}
{{- fail "keda.strategy is accurate and keda.scaleOnInFlight is true: each poll would start another agent for each job that runs, up to maxReplicaCount\nhint: leave out one of them" -}}
{{- end -}}
{{- if and (eq (include "azptend.kedaStrategy" .) "accurate") (not .Values.readinessProbe) -}}
{{- fail "readinessProbe is null, and strategy accurate needs it: an agent that does not listen yet would not count as one that is coming\nhint: leave readinessProbe as it is" -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateTrigger" -}}
{{- $k := .Values.keda -}}
{{- range $k.demands -}}
{{- if or (ne . (trim .)) (contains "," .) (not .) -}}
{{- fail (printf "keda.demands has %q: KEDA does not trim, so it would match nothing\nhint: one demand an item, without a comma, and without a space at its ends" .) -}}
{{- end -}}
{{- end -}}
{{- if and $k.parent $k.demands -}}{{- fail "keda.parent and keda.demands are both set\nhint: KEDA would not look at demands; leave one of them out" -}}{{- end -}}
{{- range $field := list "requireAllDemands" "requireAllDemandsAndIgnoreOthers" "caseInsensitiveDemandsProcessing" -}}
{{- if and (get $k $field) (not $k.demands) -}}{{- fail (printf "keda.%s is true, and there are no keda.demands" $field) -}}{{- end -}}
{{- end -}}
{{- if and $k.requireAllDemands $k.requireAllDemandsAndIgnoreOthers -}}{{- fail "keda.requireAllDemands and keda.requireAllDemandsAndIgnoreOthers are both true\nhint: leave one of them out" -}}{{- end -}}
{{- if and $k.jobsToFetch $k.fetchUnfinishedJobsOnly -}}
{{- fail "keda.jobsToFetch and keda.fetchUnfinishedJobsOnly are both set, which KEDA refuses\nhint: set fetchUnfinishedJobsOnly to false, or better leave jobsToFetch out" -}}
{{- end -}}
{{- if and $k.jobsToFetch $k.parent -}}
{{- fail "keda.jobsToFetch and keda.parent are both set, which KEDA refuses: the server says which agents match only where no number of jobs is asked for\nhint: leave jobsToFetch out" -}}
{{- end -}}
{{- if gt (int64 $k.minReplicaCount) (int64 $k.maxReplicaCount) -}}{{- fail "keda.minReplicaCount is more than keda.maxReplicaCount" -}}{{- end -}}
{{- end -}}

{{- define "azptend.validateScaler" -}}
{{- $k := .Values.keda -}}
{{- $i := $k.identity -}}
{{- if not $k.authenticationRef.name -}}
{{- if and (eq $i.type "servicePrincipal") (ne (include "azptend.kedaVersion" .) "2.21") -}}
{{- fail (printf "keda.identity.type is servicePrincipal, which KEDA %s does not know: it came with 2.21\nhint: workloadIdentity, or pat" (include "azptend.kedaVersion" .)) -}}
{{- end -}}
{{- if ne $i.type "workloadIdentity" -}}{{- include "azptend.validateIdentity" (dict "what" "keda.identity" "i" $i) -}}{{- end -}}
{{- if and (eq $i.type "workloadIdentity") $i.tenantId (not $i.clientId) -}}{{- fail "keda.identity.tenantId is set, and KEDA takes it only with clientId" -}}{{- end -}}
{{- if and $i.authorityHost (not $i.tenantId) -}}{{- fail "keda.identity.authorityHost is set, and KEDA takes it only with tenantId" -}}{{- end -}}
{{- if and $i.activeDirectoryEndpoint (ne $i.cloud "Private") -}}{{- fail "keda.identity.activeDirectoryEndpoint is set, and KEDA takes it only with cloud Private" -}}{{- end -}}
{{- if and (eq $i.cloud "Private") (not $i.activeDirectoryEndpoint) -}}{{- fail "keda.identity.cloud is Private, and activeDirectoryEndpoint is not set" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateLimits" -}}
{{- $s := .Values.scaledJob -}}
{{- if $s.activeDeadlineSeconds -}}
{{- $needed := add (int64 $s.jobMaxSeconds) (int64 .Values.terminationGracePeriodSeconds) -}}
{{- if le (int64 $s.activeDeadlineSeconds) $needed -}}
{{- fail (printf "scaledJob.activeDeadlineSeconds is %d, which leaves no time to accept a job of %d (scaledJob.jobMaxSeconds) and a grace period of %d (terminationGracePeriodSeconds)\nhint: more than %d, or 0 for none" (int64 $s.activeDeadlineSeconds) (int64 $s.jobMaxSeconds) (int64 .Values.terminationGracePeriodSeconds) $needed) -}}
{{- end -}}
{{- end -}}
{{- end -}}
