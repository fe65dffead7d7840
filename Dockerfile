# Airflow with this checkout's provider. The last stage is the default; `sandbox` adds the vendors to try it against.
FROM apache/airflow:3.3.2 AS wheel
COPY --chown=airflow:root . /tmp/source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /tmp/wheels /tmp/source

# What the image has stays as it is: pip may add what is missing, and fails before it would move anything.
FROM apache/airflow:3.3.2 AS airflow
COPY --from=wheel /tmp/wheels /tmp/wheels
RUN pip list --format=freeze > /tmp/installed.txt \
    && pip install --no-cache-dir --constraint /tmp/installed.txt "$(echo /tmp/wheels/*.whl)[tables]" \
    && pip check

FROM airflow AS sandbox
COPY --chown=airflow:root sandbox /opt/sandbox/sandbox
WORKDIR /opt/sandbox
ENTRYPOINT ["python", "-m", "sandbox"]

FROM airflow
