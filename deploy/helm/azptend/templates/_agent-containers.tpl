{{/* The container that runs the agent and its jobs. */}}
{{- define "azptend.agentContainer" -}}
- name: agent
  image: {{ include "azptend.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{ append .Values.command "run" | toJson }}
  env:
  {{- include "azptend.env" (dict "own" (include "azptend.runEnv" .) "name" "extraEnv" "users" .Values.extraEnv) | nindent 2 }}
  {{- with .Values.extraEnvFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .Values.metrics.enabled }}
  ports:
  - {name: metrics, containerPort: {{ .Values.metrics.port }}}
  {{- end }}
  {{- with .Values.startupProbe }}
  startupProbe:
    exec: {command: {{ append $.Values.command "healthcheck" | toJson }}}
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.livenessProbe }}
  livenessProbe:
    exec: {command: {{ append $.Values.command "healthcheck" | toJson }}}
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.readinessProbe }}
  readinessProbe:
    exec: {command: {{ concat $.Values.command (list "healthcheck" "--ready") | toJson }}}
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
  {{- include "azptend.runMounts" . | nindent 2 }}
  {{- if .Values.initRegister.enabled }}
  - {name: registered, mountPath: {{ .Values.initRegister.mountPath }}, readOnly: true}
  {{- end }}
  {{- if .Values.dind.enabled }}
  - {name: dind-run, mountPath: /run/dind}
  {{- end }}
{{- end -}}

{{/* azptend doctor in place of azptend run: helm test. It has the identity also if the agent's container has none, because it runs no job. */}}
{{- define "azptend.doctorContainer" -}}
- name: doctor
  image: {{ include "azptend.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{ append .Values.command "doctor" | toJson }}
  env:
  {{- $own := printf "%s\n%s" (include "azptend.registrationEnv" .) (include "azptend.agentEnv" .) }}
  {{- include "azptend.env" (dict "own" $own "name" "extraEnv" "users" .Values.extraEnv) | nindent 2 }}
  {{- with .Values.extraEnvFrom }}
  envFrom:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
  {{- include "azptend.runMounts" . | nindent 2 }}
{{- end -}}

{{- define "azptend.runEnv" -}}
{{- if .Values.initRegister.enabled -}}
- {name: AZP_REGISTERED, value: {{ .Values.initRegister.mountPath | quote }}}
{{ include "azptend.logEnv" . }}
{{- with include "azptend.networkEnv" (dict "root" . "caVariable" "AZP_CA_FILE") }}
{{ . }}
{{- end }}
{{- else -}}
{{ include "azptend.registrationEnv" . }}
{{- end }}
{{ include "azptend.agentEnv" . }}
{{- if .Values.dind.enabled }}
- {name: DOCKER_HOST, value: "unix:///run/dind/docker.sock"}
{{- end }}
{{- end -}}

{{- define "azptend.runMounts" -}}
- {name: agent-root, mountPath: {{ .Values.agentRoot.mountPath }}}
- {name: home, mountPath: {{ .Values.home.mountPath }}}
- {name: tmp, mountPath: /tmp}
{{- with include "azptend.caMount" . }}
{{ . }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The init container, which is the only one with the identity. */}}
{{- define "azptend.registerContainer" -}}
- name: register
  image: {{ include "azptend.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{ concat .Values.command (list "register" "--out" .Values.initRegister.mountPath) | toJson }}
  env:
  {{- include "azptend.env" (dict "own" (include "azptend.registrationEnv" .) "name" "initRegister.extraEnv" "users" .Values.initRegister.extraEnv) | nindent 2 }}
  {{- with .Values.initRegister.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
  - {name: registered, mountPath: {{ .Values.initRegister.mountPath }}}
  - {name: tmp, mountPath: /tmp}
  {{- with include "azptend.caMount" . }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Docker for jobs: a native sidecar, which starts before the agent and stops after it. */}}
{{- define "azptend.dindContainer" -}}
- name: dind
  image: {{ include "azptend.image" .Values.dind.image | quote }}
  imagePullPolicy: {{ .Values.dind.image.pullPolicy }}
  restartPolicy: Always
  args:
  - dockerd
  - --host=unix:///run/dind/docker.sock
  - --group={{ .Values.podSecurityContext.runAsGroup | int64 }}
  {{- with .Values.dind.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  env:
  - {name: DOCKER_HOST, value: "unix:///run/dind/docker.sock"}
  {{- with include "azptend.networkEnv" (dict "root" . "caVariable" "SSL_CERT_FILE") }}
  {{- . | nindent 2 }}
  {{- end }}
  startupProbe:
    exec: {command: [docker, version]}
    periodSeconds: 1
    failureThreshold: 120
    timeoutSeconds: 5
  {{- with .Values.dind.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.dind.securityContext | nindent 4 }}
  volumeMounts:
  - {name: dind-run, mountPath: /run/dind}
  - {name: dind-storage, mountPath: /var/lib/docker}
  # At the same path as in the agent's container: "docker run -v $(Build.SourcesDirectory):…" is the daemon's path.
  - {name: agent-root, mountPath: {{ .Values.agentRoot.mountPath }}}
  {{- with include "azptend.caMount" . }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}
