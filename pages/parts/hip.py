from pages.parts.task_page import TaskView, show_task
from pages.parts.words import t
def show_hip_page():
    show_task(TaskView("hip_osteoporosis", (t("Self-assessment"), lambda s,r: None), lambda r: None, lambda a,b: None))
