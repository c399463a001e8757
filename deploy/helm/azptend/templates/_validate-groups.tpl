{{- define "azptend.validateMetricsAPI" -}}
{{- $k := .Values.keda -}}
{{- $unused := list "parent" "demands" "scaleOnInFlight" "jobsToFetch" "requireAllDemands" "requireAllDemandsAndIgnoreOthers" "caseInsensitiveDemandsProcessing" -}}
{{- if ne $k.trigger "metrics-api" -}}
{{- range $field := list "group" "keeperURL" -}}
{{- if get $k $field -}}{{- fail (printf "keda.%s is set, but keda.trigger is azure-pipelines\nhint: set keda.trigger to metrics-api, or remove it" $field) -}}{{- end -}}
{{- end -}}
{{- else -}}
{{- if not $k.group -}}{{- fail "keda.trigger is metrics-api, but keda.group is not set\nhint: set it to the name of the group in keep.groups that these agents belong to" -}}{{- end -}}
{{- if eq $k.strategy "accurate" -}}
{{- fail "keda.strategy is accurate with trigger metrics-api: the keeper's number includes running jobs, so each poll would start another agent for each of them\nhint: use default, or remove it" -}}
{{- end -}}
{{- if $k.minReplicaCount -}}
{{- fail (printf "keda.minReplicaCount is %d with trigger metrics-api: a poll that finds fewer Jobs creates only those, and none for the jobs that wait\nhint: remove it, and set warm of the group in keep.groups" (int64 $k.minReplicaCount)) -}}
{{- end -}}
{{- range $field := $unused -}}
{{- if or (get $k $field) (and (eq $field "scaleOnInFlight") (kindIs "bool" $k.scaleOnInFlight)) -}}
{{- fail (printf "keda.%s is set, which trigger metrics-api does not use\nhint: remove it: the capabilities of the groups in keep.groups say which jobs count" $field) -}}
{{- end -}}
{{- end -}}
{{- if $k.keeperURL -}}{{- include "azptend.validateOtherKeeper" . -}}{{- else -}}{{- include "azptend.validateOwnKeeper" . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* A keeper of another release: this one knows neither its token nor the max of the group. */}}
{{- define "azptend.validateOtherKeeper" -}}
{{- $k := .Values.keda -}}
{{- if .Values.keep.enabled -}}{{- fail "keda.keeperURL is set, but keep.enabled is true: the two keepers would not have the same groups\nhint: set keep.enabled to false, or remove keda.keeperURL" -}}{{- end -}}
{{- if not $k.maxReplicaCount -}}{{- fail "keda.keeperURL is set, but keda.maxReplicaCount is not\nhint: set it to the max of the group" -}}{{- end -}}
{{- if not (or $k.authenticationRef.name .Values.keep.scaleToken.existingSecret) -}}
{{- fail "keda.keeperURL is set, but keep.scaleToken.existingSecret is not\nhint: create a Secret with the keeper's scale token in the namespace of this release, and set keep.scaleToken.existingSecret to its name" -}}
{{- end -}}
{{- end -}}

{{- define "azptend.validateOwnKeeper" -}}
{{- $k := .Values.keda -}}
{{- if not .Values.keep.enabled -}}{{- fail "keda.trigger is metrics-api, but keep.enabled is false, and the keeper says how many agents there should be\nhint: set keep.enabled, or set keda.keeperURL to the keeper of another release" -}}{{- end -}}
{{- $group := include "azptend.group" . | fromYaml -}}
{{- if not $group -}}{{- fail (printf "keda.group is %q, which is not in keep.groups\nhint: add {name: %s, max: 10} to keep.groups" $k.group $k.group) -}}{{- end -}}
{{- if and $k.maxReplicaCount (lt (int64 $k.maxReplicaCount) (int64 $group.max)) -}}
{{- fail (printf "keda.maxReplicaCount is %d, and max of the group %q is %d: the keeper would give the group jobs that it has no agents for\nhint: remove it" (int64 $k.maxReplicaCount) $k.group (int64 $group.max)) -}}
{{- end -}}
{{- range $name, $value := .Values.capabilities -}}
{{- if and (hasKey (default dict $group.capabilities) $name) (ne (toString $value) (toString (get $group.capabilities $name))) -}}
{{- fail (printf "capabilities has %q with another value than the group %q in keep.groups\nhint: remove it from the group, which has the agents' capabilities too" $name $k.group) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot say. The same rules as azptend's (groups.yaml of the tests), but for the names of time zones. */}}
{{- define "azptend.validateGroups" -}}
{{- $keep := .Values.keep -}}
{{- if $keep.groups -}}
{{- if not (and $keep.enabled $keep.token.existingSecret $keep.service.enabled) -}}
{{- fail "keep.groups is set, but KEDA cannot reach the keeper\nhint: set keep.enabled, keep.service.enabled and keep.token.existingSecret" -}}
{{- end -}}
{{- if and (eq (include "azptend.scaleTokenSecret" .) $keep.token.existingSecret) (eq $keep.scaleToken.key $keep.token.key) -}}
{{- fail "keep.scaleToken and keep.token are the same key of the same Secret, which opens the page too\nhint: use another key" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $group := $keep.groups -}}
{{- if hasKey $seen (lower .name) -}}{{- fail (printf "keep.groups has the name %q twice\nhint: give each group another name" .name) -}}{{- end -}}
{{- $_ := set $seen (lower .name) true -}}
{{- range .warm -}}
{{- if gt (int64 .count) (int64 $group.max) -}}{{- fail (printf "keep.groups: %q has %d warm agents, and max is %d\nhint: lower count, or raise max" $group.name (int64 .count) (int64 $group.max)) -}}{{- end -}}
{{- if .hours -}}
{{- $times := regexFindAll "[0-9]+:[0-9]+" .hours -1 -}}
{{- if eq (first $times | trimPrefix "0") (last $times | trimPrefix "0") -}}{{- fail (printf "keep.groups: %q has the hours %q, which are empty\nhint: use 00:00-24:00 for the whole day" $group.name .hours) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .capabilities -}}
{{- if hasPrefix "azptend." (lower $name) -}}{{- fail (printf "keep.groups: %q has the capability %q: names that begin with azptend. are azptend's own" $group.name $name) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
