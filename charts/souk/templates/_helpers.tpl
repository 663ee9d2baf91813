{{/* Labels of every object: (list root component). No chart name or manager among them: the same objects go out through
kustomize. Nothing that changes with a release either: KServe gives the labels of an InferenceService to its pods. */}}
{{- define "souk.labels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: souk
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: souk
{{- end -}}

{{/* What a container of ours may do: nothing but its work. */}}
{{- define "souk.securityContext" -}}
runAsNonRoot: true
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* A process that stands still for a minute is started anew; readiness alone would leave it without calls for good. No
store is asked for it: one that is away is no reason. The port answers once the release is read, four hours at most: the
index of a large catalogue is built before. */}}
{{- define "souk.alive" -}}
startupProbe:
  httpGet:
    path: /v2/health/live
    port: 8080
  periodSeconds: 5
  failureThreshold: 2880
livenessProbe:
  httpGet:
    path: /v2/health/live
    port: 8080
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* Of a pod that mounts the workspace once: the kubelet makes a fresh volume its group's. It fails where the kubelet does
not, as on a volume of NFS, which somebody has to make writable for group 1000. */}}
{{- define "souk.writable" -}}
spec:
  securityContext:
    fsGroup: 1000
  containers:
    - name: workspace
      image: {{ .Values.image.serve }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [test, -w, /workspace]
      volumeMounts:
        - name: workspace
          mountPath: /workspace
      securityContext:
        {{- include "souk.securityContext" . | nindent 8 }}
  volumes:
    - name: workspace
      persistentVolumeClaim:
        claimName: {{ .Release.Name }}-workspace
{{- end -}}
