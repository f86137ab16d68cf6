# The right question to the wrong end: it ends the process, and after each start it is ready again.
lab.apply("""
apiVersion: apps/v1
kind: Deployment
metadata:
  name: proxy
  labels: {app: proxy}
spec:
  replicas: 1
  selector:
    matchLabels: {app: proxy}
  template:
    metadata:
      labels: {app: proxy}
      annotations: {labs.example/config: ads}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: envoy
          image: labs.example/envoy:1.40.0
          args: [--config-path, /config/envoy.yaml, --concurrency, "1", --disable-hot-restart,
                 --service-node, $(POD), --service-cluster, shop, --log-level, error]
          env:
            - name: POD
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
          ports:
            - {name: http, containerPort: 10000}
            - {name: admin, containerPort: 9901}
          readinessProbe:
            httpGet: {path: /ready, port: admin}
            periodSeconds: 1
          livenessProbe:
            tcpSocket: {port: http}
            periodSeconds: 5
          resources:
            requests: {cpu: 10m, memory: 24Mi}
          volumeMounts:
            - {name: config, mountPath: /config}
      volumes:
        - name: config
          configMap: {name: proxy}
""")
