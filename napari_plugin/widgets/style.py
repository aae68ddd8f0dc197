"""Colours and sizes of the review docks, on napari's dark ground."""

TEXT = "#e8eaee"
DIM = "#9aa1ad"
GROUND = "#1c1f26"
PANEL = "#262930"
LINE = "#3d424e"
GREEN = "#5fd38d"
RED = "#ff6b74"
AMBER = "#ffc55c"
VIOLET = "#d79bff"
BLUE = "#6fb3ff"
YELLOW = "#ffd91a"
CYAN = "#4de4ff"

DOCK_WIDTH = (470, 520)  # least and most, px

STATUS_COLORS = {
    "pending": DIM,
    "accepted": GREEN,
    "rejected": RED,
    "unsure": AMBER,
    "disagreement": VIOLET,
    "withdrawn": DIM,
}
LEVEL_COLORS = {"info": TEXT, "good": GREEN, "warning": AMBER}

SHEET_STYLE = f"""
#killassay_keys {{ background: {GROUND}; border: 1px solid {LINE}; border-radius: 6px; }}
#killassay_cap {{ background: {PANEL}; border: 1px solid {LINE}; border-radius: 3px; padding: 1px 6px; color: {TEXT}; }}
"""

DOCK_STYLE = f"""
QLabel {{ color: {TEXT}; font-size: 13px; }}
QLabel#dim {{ color: {DIM}; font-size: 12px; }}
QPushButton {{ padding: 4px 6px; font-size: 12px; border-radius: 4px; background: {PANEL}; border: 1px solid {LINE}; color: {TEXT}; }}
QPushButton:hover {{ border-color: {BLUE}; }}
QPushButton:disabled {{ color: #6a707c; border-color: #31353e; }}
QPushButton#accept {{ border-color: {GREEN}; }}
QPushButton#reject {{ border-color: {RED}; }}
QPushButton#unsure {{ border-color: {AMBER}; }}
QPushButton#mode {{ font-weight: bold; padding: 4px 10px; border-radius: 10px; }}
QPushButton#mode:checked {{ background: {GREEN}; color: #10231a; border-color: {GREEN}; }}
QPushButton#chosen {{ border: 2px solid {YELLOW}; }}
QLineEdit {{ padding: 4px 6px; font-size: 12px; }}
QLineEdit#refused {{ border: 1px solid {RED}; }}
QComboBox {{ font-size: 12px; padding: 3px 6px; }}
QProgressBar {{ background: {PANEL}; border: none; border-radius: 2px; max-height: 5px; min-height: 5px; }}
QProgressBar::chunk {{ background: {GREEN}; border-radius: 2px; }}
QTableView {{ font-size: 12px; gridline-color: #2c3038; background: {GROUND}; alternate-background-color: #21242c; color: {TEXT};
    selection-background-color: #2f4a6d; selection-color: white; border: 1px solid {LINE}; }}
QTableView::item:selected {{ background: #2f4a6d; color: white; }}
QHeaderView::section {{ background: {PANEL}; color: {DIM}; padding: 3px 4px; border: none; border-right: 1px solid {LINE}; font-size: 12px; }}
"""
