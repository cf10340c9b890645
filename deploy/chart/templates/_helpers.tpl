{{/* What the application is called in labels. */}}
{{- define "portcullis.appName" -}}
{{ .Values.nameOverride | default .Chart.Name }}
{{- end }}

{{/* What each object's name begins with. A StatefulSet's pods have eighteen characters more, in a label of at most 63. */}}
{{- define "portcullis.name" -}}
{{- $app := include "portcullis.appName" . }}
{{- .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $app) (contains $app .Release.Name)) | trunc 45 | trimSuffix "-" }}
{{- end }}

{{- define "portcullis.selector" -}}
app.kubernetes.io/name: {{ include "portcullis.appName" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gate
{{- end }}

{{- define "portcullis.redisSelector" -}}
app.kubernetes.io/name: {{ include "portcullis.appName" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end }}

{{- define "portcullis.testSelector" -}}
app.kubernetes.io/name: {{ include "portcullis.appName" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- define "portcullis.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "portcullis.appName" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "portcullis.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "portcullis.name" .) }}
{{- end }}

{{- define "portcullis.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The host of a URL, without its port. */}}
{{- define "portcullis.host" -}}
{{ (split ":" (get (urlParse .) "host"))._0 }}
{{- end }}

{{- define "portcullis.redisName" -}}
{{ include "portcullis.name" . }}-redis
{{- end }}

{{/* Whether the chart's own Redis is three nodes with Sentinel; else nothing. */}}
{{- define "portcullis.redisHa" -}}
{{- if eq (int .Values.redis.inChart.replicas) 3 }}yes{{ end }}
{{- end }}

{{/* The host under which each certificate of the chart's own Redis is valid. */}}
{{- define "portcullis.redisHost" -}}
{{ include "portcullis.redisName" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{/* The three nodes by host name, which stays when a pod's address changes; separated by blanks. */}}
{{- define "portcullis.redisNodes" -}}
{{- $nodes := list }}
{{- range until 3 }}{{ $nodes = append $nodes (printf "%s-%d.%s" (include "portcullis.redisName" $) . (include "portcullis.redisHost" $)) }}{{ end }}
{{- join " " $nodes }}
{{- end }}

{{/*
The configuration file. Lists of the values are taken over item by item; what names a Secret becomes the path at which it is mounted.
*/}}
{{- define "portcullis.config" -}}
{{- $v := .Values }}
{{- $listen := dict
  "api" (dict "address" "0.0.0.0:6443" "certFile" "/etc/portcullis/tls/api/tls.crt" "keyFile" "/etc/portcullis/tls/api/tls.key" "publicUrl" $v.api.publicUrl "proxyProtocol" $v.api.proxyProtocol)
  "ops" (dict "address" "0.0.0.0:9090")
  "trustedProxies" $v.trustedProxies }}
{{- if $v.api.publishCa }}{{ $_ := set $listen.api "publicCaFile" "/etc/portcullis/tls/api/ca.crt" }}{{ end }}
{{- if $v.web.tls }}
{{- $_ := set $listen "web" (dict "address" "0.0.0.0:8443" "certFile" "/etc/portcullis/tls/web/tls.crt" "keyFile" "/etc/portcullis/tls/web/tls.key") }}
{{- else }}
{{- $_ := set $listen "web" (dict "address" "0.0.0.0:8443" "tls" "off") }}
{{- end }}
{{- $redis := dict "prefix" $v.redis.prefix }}
{{- if $v.redis.inChart.enabled }}
{{- $_ := set $redis "url" (printf "rediss://%s:6379" (include "portcullis.redisHost" .)) }}
{{- if include "portcullis.redisHa" . }}
{{- $sentinels := list }}
{{- range splitList " " (include "portcullis.redisNodes" .) }}{{ $sentinels = append $sentinels (printf "%s:26379" .) }}{{ end }}
{{- $_ := set $redis "nodes" 3 }}
{{- $_ := set $redis "sentinels" $sentinels }}
{{- $_ := set $redis "master" "portcullis" }}
{{- $_ := set $redis "sentinelUsernameFile" "/etc/portcullis/redis/sentinel-username" }}
{{- $_ := set $redis "sentinelPasswordFile" "/etc/portcullis/redis/sentinel-password" }}
{{- end }}
{{- $_ := set $redis "usernameFile" "/etc/portcullis/redis/username" }}
{{- $_ := set $redis "passwordFile" "/etc/portcullis/redis/password" }}
{{- $_ := set $redis "caFile" "/etc/portcullis/redis/ca.crt" }}
{{- else }}
{{- $_ := set $redis "url" $v.redis.url }}
{{- $_ := set $redis "nodes" $v.redis.nodes }}
{{- with $v.redis.sentinels }}{{ $_ := set $redis "sentinels" . }}{{ end }}
{{- with $v.redis.master }}{{ $_ := set $redis "master" . }}{{ end }}
{{- if $v.redis.sentinelUsername.secret }}{{ $_ := set $redis "sentinelUsernameFile" "/etc/portcullis/redis/sentinel-username" }}{{ end }}
{{- if $v.redis.sentinelPassword.secret }}{{ $_ := set $redis "sentinelPasswordFile" "/etc/portcullis/redis/sentinel-password" }}{{ end }}
{{- if $v.redis.username.secret }}{{ $_ := set $redis "usernameFile" "/etc/portcullis/redis/username" }}{{ end }}
{{- if $v.redis.password.secret }}{{ $_ := set $redis "passwordFile" "/etc/portcullis/redis/password" }}{{ end }}
{{- if $v.redis.ca.secret }}{{ $_ := set $redis "caFile" "/etc/portcullis/redis/ca.crt" }}{{ end }}
{{- end }}
{{- $keys := dict "signingDir" "/etc/portcullis/keys/signing" "sealingDir" "/etc/portcullis/keys/sealing" }}
{{- if $v.keys.auditSecret }}{{ $_ := set $keys "auditDir" "/etc/portcullis/keys/audit" }}{{ end }}
{{- $providers := list }}
{{- range $index, $given := $v.providers }}
{{- include "portcullis.noFiles" (dict "place" (printf "providers[%d]" $index) "given" $given) }}
{{- with $given }}
{{- $one := omit . "clientSecret" "clientKey" "clientCert" "ca" "serviceAccount" "proxyCredentials" }}
{{- if .clientSecret }}{{ $_ := set $one "clientSecretFile" (printf "/etc/portcullis/providers/%s/client-secret" .name) }}{{ end }}
{{- if .clientKey }}{{ $_ := set $one "clientKeyFile" (printf "/etc/portcullis/providers/%s/client.key" .name) }}{{ end }}
{{- if .clientCert }}{{ $_ := set $one "clientCertFile" (printf "/etc/portcullis/providers/%s/client.crt" .name) }}{{ end }}
{{- if .ca }}{{ $_ := set $one "caFile" (printf "/etc/portcullis/providers/%s/ca.crt" .name) }}{{ end }}
{{- if .serviceAccount }}{{ $_ := set $one "serviceAccountFile" (printf "/etc/portcullis/providers/%s/service-account.json" .name) }}{{ end }}
{{- if .proxyCredentials }}{{ $_ := set $one "proxyCredentialsFile" (printf "/etc/portcullis/providers/%s/proxy-credentials" .name) }}{{ end }}
{{- $providers = append $providers $one }}
{{- end }}
{{- end }}
{{- $clusters := list }}
{{- range $index, $given := $v.clusters }}
{{- include "portcullis.noFiles" (dict "place" (printf "clusters[%d]" $index) "given" $given) }}
{{- with $given }}
{{- $one := omit . "token" "ca" }}
{{- if .server }}
{{- $_ := set $one "tokenFile" (printf "/etc/portcullis/clusters/%s/token" .name) }}
{{- if .ca }}{{ $_ := set $one "caFile" (printf "/etc/portcullis/clusters/%s/ca.crt" .name) }}{{ end }}
{{- else }}
{{- $_ := set $one "server" "https://kubernetes.default.svc" }}
{{- $_ := set $one "caFile" "/var/run/portcullis/kube/ca.crt" }}
{{- $_ := set $one "tokenFile" "/var/run/portcullis/kube/token" }}
{{- end }}
{{- $clusters = append $clusters $one }}
{{- end }}
{{- end }}
{{- $own := dict "publicUrl" $v.publicUrl "listen" $listen "store" (dict "redis" $redis) "keys" $keys "providers" $providers "clusters" $clusters "shutdown" $v.shutdown }}
{{- range $name, $_ := $v.config }}
{{- if hasKey $own $name }}{{ fail (printf "config.%s: this is set by the chart's own values, so it cannot be set here as well" $name) }}{{ end }}
{{- end }}
{{- merge $own $v.config | toYaml }}
{{- end }}

{{/* Fails where a provider or a cluster names a file, as the configuration does: the values name a Secret. */}}
{{- define "portcullis.noFiles" -}}
{{- range $name, $_ := .given }}
{{- if hasSuffix "File" $name }}{{ fail (printf "%s.%s: the chart mounts no file by its path; name the Secret that holds it, as %s: { secret: NAME, key: KEY }" $.place $name (trimSuffix "File" $name)) }}{{ end }}
{{- end }}
{{- end }}

{{/* Projected sources of the Redis credentials; empty where there are none. */}}
{{- define "portcullis.redisSources" -}}
{{- $r := .Values.redis }}
{{- if $r.inChart.enabled }}
- secret: { name: {{ $r.inChart.authSecret | default (printf "%s-auth" (include "portcullis.redisName" .)) }}, items: [{ key: username, path: username }, { key: password, path: password }] }
- secret: { name: {{ $r.inChart.tlsSecret | default (printf "%s-tls" (include "portcullis.redisName" .)) }}, items: [{ key: ca.crt, path: ca.crt }] }
{{- if include "portcullis.redisHa" . }}
- secret: { name: {{ $r.inChart.haSecret | default (printf "%s-ha" (include "portcullis.redisName" .)) }}, items: [{ key: lookup-username, path: sentinel-username }, { key: lookup-password, path: sentinel-password }] }
{{- end }}
{{- else }}
{{- range $file, $ref := dict "username" $r.username "password" $r.password "ca.crt" $r.ca "sentinel-username" $r.sentinelUsername "sentinel-password" $r.sentinelPassword }}
{{- if $ref.secret }}
- secret: { name: {{ $ref.secret }}, items: [{ key: {{ $ref.key | default $file }}, path: {{ $file }} }] }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Seconds of a duration such as 90s or 5m. */}}
{{- define "portcullis.seconds" -}}
{{- if hasSuffix "s" . }}{{ trimSuffix "s" . }}
{{- else if hasSuffix "m" . }}{{ mul (trimSuffix "m" . | int) 60 }}
{{- else }}{{ mul (trimSuffix "h" . | int) 3600 }}
{{- end }}
{{- end }}

{{/* How long a pod may take to end: longer than the server's own drain, else streams are cut in the middle. */}}
{{- define "portcullis.terminationSeconds" -}}
{{- $drain := add (include "portcullis.seconds" .Values.shutdown.delay) (include "portcullis.seconds" .Values.shutdown.grace) }}
{{- $given := .Values.terminationGracePeriodSeconds | int }}
{{- if and $given (ge (int $drain) $given) }}
{{- fail (printf "terminationGracePeriodSeconds is %d: it has to be longer than shutdown.delay and shutdown.grace together (%d s), else streams are cut in the middle" $given (int $drain)) }}
{{- end }}
{{- $given | default (add $drain 5) }}
{{- end }}

{{/* The user that a pod runs as. On OpenShift none is named: a namespace has a range of its own there, and its pods get one of that. */}}
{{- define "portcullis.user" -}}
{{- if not .root.Values.openshift }}
runAsUser: {{ .id }}
runAsGroup: {{ .id }}
fsGroup: {{ .id }}
{{- end }}
{{- end }}

{{/* Ports of rules of a network policy, each once: those of the values, and those that addresses elsewhere in the values end in. */}}
{{- define "portcullis.ports" -}}
{{- $ports := list }}
{{- range .ports }}{{ $ports = append $ports (int .) }}{{ end }}
{{- range .addresses }}
{{- $port := regexFind ":[0-9]+$" (regexReplaceAll "^[a-z]+://|[/?].*$" . "") }}
{{- if $port }}{{ $ports = append $ports (trimPrefix ":" $port | int) }}{{ end }}
{{- end }}
{{- range uniq $ports }}
- { port: {{ . }}, protocol: TCP }
{{- end }}
{{- end }}

{{/* The rule of a network policy for DNS. */}}
{{- define "portcullis.dnsEgress" -}}
{{- $dns := .Values.networkPolicy.dns -}}
- ports:
    {{- range $dns.ports | default (list 53) }}
    - { port: {{ . }}, protocol: UDP }
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
  to: {{- toYaml $dns.to | nindent 4 }}
{{- end }}

{{/*
Where a destination is not named: anywhere but link-local addresses, at which clouds give a node's credentials to anyone who asks.
*/}}
{{- define "portcullis.anywhere" -}}
- ipBlock: { cidr: 0.0.0.0/0, except: [169.254.0.0/16, 100.100.100.200/32] }
- ipBlock: { cidr: '::/0', except: ['fe80::/10', 'fd00:ec2::254/128'] }
{{- end }}

{{/* The configuration of the chart's own Redis. */}}
{{- define "portcullis.redisConf" -}}
# No plain port; certificates of clients are not asked for, the ACL's password is.
port 0
tls-port 6379
tls-cert-file /tls/tls.crt
tls-key-file /tls/tls.key
tls-ca-cert-file /tls/ca.crt
tls-auth-clients no
aclfile /run/redis/users.acl
dir /data
# A revocation must survive a restart, and nothing may be evicted: it could be a revocation.
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
maxmemory {{ .Values.redis.inChart.maxMemory }}
# A backlog that is freed is another history, for which every user would have to sign in again.
repl-backlog-ttl 0
save ""
{{- if include "portcullis.redisHa" . }}
# Followers copy over TLS. The start script adds who this node is, and whom it follows.
tls-replication yes
replica-announce-port 6379
# A follower that comes back is in step within moments; a short absence costs it no whole copy.
repl-diskless-sync-delay 0
repl-backlog-size 8mb
client-output-buffer-limit replica 32mb 32mb 60
{{- end }}
{{- end }}

{{/* What the Sentinels of the three nodes have in common. */}}
{{- define "portcullis.sentinelConf" -}}
port 0
tls-port 26379
tls-cert-file /tls/tls.crt
tls-key-file /tls/tls.key
tls-ca-cert-file /tls/ca.crt
tls-auth-clients no
tls-replication yes
aclfile /run/redis/sentinel.acl
dir /data/sentinel
# Pods come back under their names, with other addresses.
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-port 26379
{{- end }}

{{/* What the scripts of the three nodes are told. */}}
{{- define "portcullis.redisEnv" -}}
- { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
- { name: HOST, value: $(POD_NAME).{{ include "portcullis.redisHost" . }} }
- { name: NODES, value: {{ include "portcullis.redisNodes" . }} }
- { name: DOWN_AFTER_MS, value: {{ mul 1000 (include "portcullis.seconds" .Values.redis.inChart.failoverAfter) | quote }} }
- { name: KEYS, value: '{{ printf "{%s}:*" .Values.redis.prefix }}' }
- { name: COMMANDS, value: {{ .Files.Get "files/redis-commands" | trim | quote }} }
{{- end }}

{{/* One node of a cluster holds one node of Redis: else the loss of one could be the loss of two. */}}
{{- define "portcullis.redisApart" -}}
{{- $labels := include "portcullis.redisSelector" . | fromYaml }}
{{- $by := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) }}
{{- $zone := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" $labels) }}
{{- $preferred := list (dict "weight" 50 "podAffinityTerm" $zone) }}
{{- if eq .Values.redis.inChart.podAntiAffinity "required" }}
requiredDuringSchedulingIgnoredDuringExecution: {{- list $by | toYaml | nindent 2 }}
{{- else }}
{{- $preferred = prepend $preferred (dict "weight" 100 "podAffinityTerm" $by) }}
{{- end }}
preferredDuringSchedulingIgnoredDuringExecution: {{- $preferred | toYaml | nindent 2 }}
{{- end }}

{{- define "portcullis.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What a Service may be given besides its type, ports and ranges. */}}
{{- define "portcullis.serviceFields" -}}
{{- if and .loadBalancerClass (eq .type "LoadBalancer") }}
loadBalancerClass: {{ .loadBalancerClass }}
{{- end }}
{{- with .ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .ipFamilies }}
ipFamilies: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
