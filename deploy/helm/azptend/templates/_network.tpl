{{/*
Proxy and certificate authorities, for every container of the chart. Takes "root" and "caVariable", the variable
with which the program in the container adds a file of certificates.
Programs differ in the case of a proxy's variables: curl, for example, reads only http_proxy.
*/}}
{{- define "azptend.networkEnv" -}}
{{- $proxy := .root.Values.proxy -}}
{{- $env := list -}}
{{- if $proxy.existingSecret -}}
{{- $env = append $env (dict "name" "HTTP_PROXY" "valueFrom" (dict "secretKeyRef" (dict "name" $proxy.existingSecret "key" $proxy.secretKey))) -}}
{{- else if $proxy.url -}}
{{- $env = append $env (dict "name" "HTTP_PROXY" "value" $proxy.url) -}}
{{- end -}}
{{- if $env -}}
{{- range $name := list "HTTPS_PROXY" "http_proxy" "https_proxy" -}}
{{- $env = append $env (dict "name" $name "value" "$(HTTP_PROXY)") -}}
{{- end -}}
{{- with $proxy.noProxy -}}
{{- $env = concat $env (list (dict "name" "NO_PROXY" "value" (join "," .)) (dict "name" "no_proxy" "value" (join "," .))) -}}
{{- end -}}
{{- end -}}
{{- with include "azptend.caFile" .root -}}
{{- $env = append $env (dict "name" $.caVariable "value" .) -}}
{{- end -}}
{{- with $env -}}{{ toYaml . }}{{- end -}}
{{- end -}}

{{/* The file with the certificates, or nothing. */}}
{{- define "azptend.caFile" -}}
{{- with .Values.caCertificates -}}
{{- if or .configMap .secret -}}/etc/azptend/ca/{{ .key }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "azptend.caMount" -}}
{{- with include "azptend.caFile" . -}}
- {name: ca-certificates, mountPath: {{ dir . }}, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "azptend.caVolume" -}}
{{- if include "azptend.caFile" . -}}
{{- with .Values.caCertificates -}}
- name: ca-certificates
  {{- if .configMap }}
  configMap: {name: {{ .configMap }}, items: [{key: {{ .key }}, path: {{ .key }}}]}
  {{- else }}
  secret: {secretName: {{ .secret }}, items: [{key: {{ .key }}, path: {{ .key }}}]}
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Egress rules of a NetworkPolicy; takes (dict "own" rules of the user "blocked" . "blockedIPv6" .). */}}
{{- define "azptend.egress" -}}
{{- with .own -}}
{{- toYaml . -}}
{{- else -}}
# The cluster's DNS and proxy: in some networks the addresses below do not include pods.
- to:
  - namespaceSelector: {}
- to:
  - ipBlock:
      cidr: 0.0.0.0/0
      {{- with .blocked }}
      except: {{ toJson . }}
      {{- end }}
  - ipBlock:
      cidr: ::/0
      {{- with .blockedIPv6 }}
      except: {{ toJson . }}
      {{- end }}
{{- end -}}
{{- end -}}
