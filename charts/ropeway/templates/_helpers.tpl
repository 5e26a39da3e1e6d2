{{- define "ropeway.name" -}}
{{- if contains "ropeway" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-ropeway" (.Release.Name | trunc 32 | trimSuffix "-") }}{{- end -}}
{{- end -}}

{{- define "ropeway.operator" -}}{{ include "ropeway.name" . }}-operator{{- end -}}

{{/* Cluster roles are of no namespace, so a second release must not meet the first. */}}
{{- define "ropeway.clusterRole" -}}{{ .Release.Namespace }}-{{ include "ropeway.operator" . }}{{- end -}}

{{- define "ropeway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}{{ .Values.serviceAccount.name | default (include "ropeway.operator" .) }}{{- else -}}{{ .Values.serviceAccount.name | default "default" }}{{- end -}}
{{- end -}}

{{- define "ropeway.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/part-of: ropeway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "ropeway.selector" -}}
app.kubernetes.io/name: ropeway-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ropeway.natsSelector" -}}
app.kubernetes.io/name: ropeway-nats
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ropeway.reference" -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}{{- else -}}{{ .image.repository }}:{{ .image.tag | default .version }}{{- end -}}
{{- end -}}

{{- define "ropeway.image" -}}{{ include "ropeway.reference" (dict "image" .Values.image "version" .Chart.AppVersion) }}{{- end -}}

{{- define "ropeway.natsUrl" -}}
{{- if .Values.nats.url -}}{{ .Values.nats.url }}
{{- else if .Values.nats.enabled -}}nats://nats.{{ .Release.Namespace }}:4222
{{- else -}}{{ fail "where is NATS? Set nats.url to its address, or nats.enabled=true for a server of this chart that is good for a trial" }}
{{- end -}}
{{- end -}}

{{/* What Pod Security `restricted` asks of a pod and of a container. 65532 is the user of the image. */}}
{{- define "ropeway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ropeway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/*
What the operator calls, and nothing else. It creates no pods (Deployments do), reads Secrets only by name unless
watchSecrets is set, writes them only where tokenBroker is enabled, and gives no rights to anybody.
*/}}
{{- define "ropeway.rules" -}}
- apiGroups: [ropeway.dev]
  resources: [integrations, destinations]
  verbs: [get, list, watch, patch]
- apiGroups: [ropeway.dev]
  resources: [integrations/status, destinations/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get{{ if .Values.watchSecrets }}, list, watch{{ end }}{{ if .Values.tokenBroker.enabled }}, create, update{{ end }}]
{{- if .Values.tokenBroker.enabled }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
{{- end }}
- apiGroups: [""]
  resources: [serviceaccounts, namespaces, persistentvolumeclaims]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
