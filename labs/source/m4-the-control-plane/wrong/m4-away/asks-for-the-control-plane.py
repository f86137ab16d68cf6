# Ready is who can reach the control plane.
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
            exec:
              command: [timeout, "0.8", bash, -c, "</dev/tcp/snapshot/18000"]
            periodSeconds: 1
          resources:
            requests: {cpu: 10m, memory: 24Mi}
          volumeMounts:
            - {name: config, mountPath: /config}
      volumes:
        - name: config
          configMap: {name: proxy}
""")
