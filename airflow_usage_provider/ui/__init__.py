"""The pages *LLM usage* in Airflow's own UI. Only the API server ever imports more of it than the plugin."""
