{{/* The container that runs the agent and its jobs. */}}
{{- define "azptend.agentContainer" -}}
- name: agent
  image: {{ include "azptend.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{ append .Values.command "run" | toJson }}
  env:
  {{- if .Values.initRegister.enabled }}
  - {name: AZP_REGISTERED, value: {{ .Values.initRegister.mountPath | quote }}}
  - {name: AZP_LOG_FORMAT, value: {{ .Values.log.format | quote }}}
  - {name: AZP_LOG_LEVEL, value: {{ .Values.log.level | quote }}}
  {{- else }}
  {{- include "azptend.registrationEnv" . | nindent 2 }}
  {{- with include "azptend.identityEnv" .Values.identity }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- include "azptend.lifeEnv" . | nindent 2 }}
  {{- if .Values.dind.enabled }}
  - {name: DOCKER_HOST, value: "unix:///run/dind/docker.sock"}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
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
  - {name: agent-root, mountPath: {{ .Values.agentRoot.mountPath }}}
  - {name: home, mountPath: {{ .Values.home.mountPath }}}
  - {name: tmp, mountPath: /tmp}
  {{- if .Values.initRegister.enabled }}
  - {name: registered, mountPath: {{ .Values.initRegister.mountPath }}, readOnly: true}
  {{- end }}
  {{- if .Values.dind.enabled }}
  - {name: dind-run, mountPath: /run/dind}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The init container, which is the only one with the identity. */}}
{{- define "azptend.registerContainer" -}}
- name: register
  image: {{ include "azptend.image" .Values.image | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{ concat .Values.command (list "register" "--out" .Values.initRegister.mountPath) | toJson }}
  env:
  {{- include "azptend.registrationEnv" . | nindent 2 }}
  {{- with include "azptend.identityEnv" .Values.identity }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.initRegister.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .Values.initRegister.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
  - {name: registered, mountPath: {{ .Values.initRegister.mountPath }}}
  - {name: tmp, mountPath: /tmp}
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
  startupProbe:
    exec: {command: [docker, version]}
    periodSeconds: 1
    failureThreshold: 120
    timeoutSeconds: 5
  {{- with .Values.dind.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {privileged: true, runAsUser: 0, runAsGroup: 0, runAsNonRoot: false}
  volumeMounts:
  - {name: dind-run, mountPath: /run/dind}
  - {name: dind-storage, mountPath: /var/lib/docker}
  # At the same path as in the agent's container: "docker run -v $(Build.SourcesDirectory):…" is the daemon's path.
  - {name: agent-root, mountPath: {{ .Values.agentRoot.mountPath }}}
{{- end -}}
